from pathlib import Path

import pytest

from make_videos import cut_off, write_video
from nonlocalnet.data.annotations import Action, VideoEntry, VideoList, load_video_list, multi_hot
from nonlocalnet.data.video.check_videos import (
    COPIES,
    CheckReport,
    Finding,
    VideoCounts,
    check_videos,
    classes_lost,
    clean_list,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name in ("abcdefghijk.mp4", "b.mp4"):
        write_video(folder / name, num_frames=4, height=32, width=32)
    cut_off(write_video(folder / "bbcdefghijk_000001_000011.mp4", num_frames=4, height=32, width=32), 0.5)
    return folder


KINETICS = """label,youtube_id,time_start,time_end,split,is_cc
zumba,abcdefghijk,1,11,val,0
"passing American football (in game)",cbcdefghijk,1,11,val,0
zumba,bbcdefghijk,1,11,val,0
zumba,dbcdefghijk,1,11,val,0
"""


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_kinetics_is_counted_by_class_and_cleaned(folder, tmp_path, workers):
    source = tmp_path / "val.csv"
    source.write_bytes(KINETICS.replace("\n", "\r\n").encode())
    moves = []
    videos = load_video_list(source, root=folder, check_files=False)
    report = check_videos(videos, workers=workers, on_video=lambda: moves.append(1))
    assert len(moves) == 4
    assert [finding.state for finding in report.findings] == ["readable", "missing", "broken", "missing"]
    assert "cbcdefghijk_000001_000011.mp4" in report.findings[1].reason
    assert "bbcdefghijk_000001_000011.mp4: " in report.findings[2].reason
    assert report.total == VideoCounts(4, 1, 2, 1)
    assert report.by_class == {
        "passing American football (in game)": VideoCounts(1, 0, 1, 0),
        "zumba": VideoCounts(3, 1, 1, 1),
    }
    assert classes_lost(report) == ["passing American football (in game)"]
    assert clean_list(report).encode() == b"\r\n".join(source.read_bytes().split(b"\r\n")[:2]) + b"\r\n"
    assert report.copies == ()


def test_charades_rows_go_with_all_their_lines(folder, tmp_path):
    source = tmp_path / "list.csv"
    source.write_text('id,script,actions\nb,"x\ny",c001 0 1\ngone,"two\nlines",c002 0 1;c001 0 1\nb,z,\n')
    report = check_videos(load_video_list(source, root=folder, check_files=False), workers=1)
    assert clean_list(report) == 'id,script,actions\nb,"x\ny",c001 0 1\nb,z,\n'
    assert report.by_class == {"1": VideoCounts(2, 1, 1, 0), "2": VideoCounts(1, 0, 1, 0)}
    assert report.total == VideoCounts(3, 2, 1, 0)


def test_class_folders_give_a_csv(tmp_path):
    for name in ("run", "sit, down"):
        (tmp_path / "v" / name).mkdir(parents=True)
        write_video(tmp_path / "v" / name / "1.mp4", num_frames=2, height=32, width=32)
    (tmp_path / "v" / "run" / "2.mp4").write_bytes(b"no video")
    report = check_videos(load_video_list(tmp_path / "v"), workers=1)
    (tmp_path / "clean.csv").write_text(clean_list(report))
    videos = load_video_list(tmp_path / "clean.csv")
    assert videos.class_names == ("run", "sit, down")
    assert [(entry.path.relative_to(tmp_path / "v").as_posix(), entry.label) for entry in videos.entries] == [
        ("run/1.mp4", 0),
        ("sit, down/1.mp4", 1),
    ]


def test_nothing_readable_is_no_list(tmp_path):
    (tmp_path / "l.txt").write_text("gone.mp4 0\n")
    report = check_videos(load_video_list(tmp_path / "l.txt", check_files=False), workers=1)
    with pytest.raises(ValueError, match=r"l.txt: none of 1 videos can be read; is root right\?"):
        clean_list(report)


def test_labels_of_multi_label_entries(tmp_path):
    entry = VideoEntry(tmp_path / "gone.mp4", multi_hot([0, 2], 3), (Action(0, 0, 1),))
    report = check_videos(VideoList((entry,), ("a", "b", "c"), ""), workers=1)
    assert report.by_class == {"a": VideoCounts(1, 0, 1, 0), "c": VideoCounts(1, 0, 1, 0)}


@pytest.mark.parametrize(
    ("listed", "classes", "dataset"),
    [
        (19906, 400, "Kinetics-400 val"),
        (19404, 400, "Kinetics-400 val"),
        (240436, 400, "Kinetics-400 train"),
        (19906, 399, None),
        (19907, 400, None),
        (3000, 400, None),
    ],
)
def test_copies_of_the_same_data_set(listed, classes, dataset):
    entries = tuple(VideoEntry(Path("x.mp4"), label) for label in range(classes))
    entries = (entries * (listed // classes + 1))[:listed]
    report = CheckReport(VideoList(entries, None, ""), (Finding("readable", ""),) * listed)
    expected = () if dataset is None else tuple(copy for copy in COPIES if copy.dataset == dataset)
    assert report.copies == expected
