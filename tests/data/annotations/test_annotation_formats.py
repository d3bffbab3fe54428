"""Every format of `load_video_list` beside the plain lists of test_annotations.py."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nonlocalnet.data.annotations import FORMAT_NAMES, UNLABELLED, Action, FrameFiles, load_video_list, recognise


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def found(source: Path, **options) -> list[tuple[str, int]]:
    return [(entry.path.name, entry.label) for entry in load_video_list(source, **options).entries]


def classes_of(label) -> list[int]:
    assert label.dtype == torch.float32
    assert set(label.tolist()) <= {0.0, 1.0}
    return label.nonzero().flatten().tolist()


KINETICS = """label,youtube_id,time_start,time_end,split,is_cc
zumba,abcdefghijk,48,58,val,0
"massaging person's head",--nQbRBEz2s,104,114,val,0
passing American football (in game),_a_b-c_d_e_,0,10,val,0
zumba,zzzzzzzzzzz,7,17,val,1
"""


def test_kinetics_finds_files_by_id_at_any_depth(tmp_path):
    root = touch(
        tmp_path / "videos",
        "abcdefghijk_000048_000058.mp4",
        "massaging_person's_head/--nQbRBEz2s.webm",
        "deep/er/_a_b-c_d_e__000000_000010.mkv",
        "zzzzzzzzzzzz.mp4",  # twelve characters: another file
        "zumba/zzzzzzzzzzz.mp4.mkv",
        "zumba/zzzzzzzzzzz_000007_000017.txt",
    )
    videos = load_video_list(write(tmp_path / "val.csv", KINETICS), root=root, num_classes=3)
    assert videos.format == "kinetics"
    assert videos.class_names == ("massaging person's head", "passing American football (in game)", "zumba")
    assert [(entry.path.relative_to(root).as_posix(), entry.label) for entry in videos.entries] == [
        ("abcdefghijk_000048_000058.mp4", 2),
        ("massaging_person's_head/--nQbRBEz2s.webm", 0),
        ("deep/er/_a_b-c_d_e__000000_000010.mkv", 1),
        ("zumba/zzzzzzzzzzz.mp4.mkv", 2),
    ]
    assert [entry.lines for entry in videos.entries] == [range(n, n + 1) for n in (2, 3, 4, 5)]


def test_kinetics_takes_the_file_of_the_rows_times_then_of_its_class(tmp_path):
    root = touch(
        tmp_path / "videos",
        "a/abcdefghijk_000001_000011.mp4",
        "b/abcdefghijk_000048_000058.mp4",
        "zumba/abcdefghijk.mp4",
        "a/--nQbRBEz2s.mp4",
        "massaging_person's_head/--nQbRBEz2s.mp4",
    )
    text = "\n".join(KINETICS.splitlines()[:3])
    videos = load_video_list(write(tmp_path / "val.csv", text), root=root)
    assert [entry.path.parent.name for entry in videos.entries] == ["b", "massaging_person's_head"]


def test_kinetics_600_has_no_is_cc_and_its_test_list_no_label(tmp_path):
    root = touch(tmp_path, "abcdefghijk.mp4")
    train = write(
        tmp_path / "train.csv", "label,youtube_id,time_start,time_end,split\nabseiling,abcdefghijk,1,11,train\n"
    )
    assert found(train, root=root) == [("abcdefghijk.mp4", 0)]
    test = write(tmp_path / "test.csv", "youtube_id,time_start,time_end,split\nabcdefghijk,1,11,test\n")
    assert found(test, root=root, num_classes=600) == [("abcdefghijk.mp4", UNLABELLED)]
    assert load_video_list(test, root=root).class_names is None


def test_kinetics_missing_files_are_named_as_the_crawler_would(tmp_path):
    path = write(tmp_path / "val.csv", KINETICS)
    with pytest.raises(FileNotFoundError, match=r"4 of 4 files are missing \(line 2: .*abcdefghijk_000048_000058.mp4"):
        load_video_list(path)
    assert len(load_video_list(path, check_files=False).entries) == 4


def test_kinetics_classes_follow_a_given_list(tmp_path):
    names = ["zumba", "massaging person's head", "passing American football (in game)", "abseiling"]
    path = write(tmp_path / "val.csv", KINETICS)
    labels = [label for _, label in found(path, classes=names, num_classes=4, check_files=False)]
    assert labels == [0, 1, 2, 0]
    with pytest.raises(ValueError, match=r"val.csv: 3 classes, but num_classes is 400; set num_classes to 3 or give"):
        load_video_list(path, num_classes=400, check_files=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,youtube_id\nx,short\n", "line 2: youtube_id must have 11 characters, got 'short'"),
        ("label,youtube_id\n,abcdefghijk\nx,bbcdefghijk\n", "line 2: the label is empty, but other rows have one"),
        ("label,youtube_id,time_start,time_end\nx,abcdefghijk,a,2\n", "line 2: time_start and time_end must be"),
        ("label,youtube_id\n", "no rows after the header"),
    ],
)
def test_bad_kinetics_lists(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"l.csv.*{message}"):
        load_video_list(write(tmp_path / "l.csv", text))


def test_class_folders_may_be_written_with_underscores(tmp_path):
    root = touch(tmp_path, "riding_a_bike/1.mp4", "air drumming/2.mp4")
    names = ("air drumming", "making tea", "riding a bike")
    assert found(root, classes=names) == [("2.mp4", 0), ("1.mp4", 2)]


@pytest.mark.parametrize("separator", [" ", "\t", ",", ", "])
def test_multi_label_lists(tmp_path, separator):
    touch(tmp_path, "test 1.mp4", "b.mp4", "c.mp4")
    text = separator.join(("test 1.mp4", "0", "2", "4")) + f"\nb.mp4{separator}3\nc.mp4\n"
    path = write(tmp_path / "list.txt", text)
    videos = load_video_list(path, num_classes=6, multi_label=True)
    assert [(entry.path.name, classes_of(entry.label)) for entry in videos.entries] == [
        ("test 1.mp4", [0, 2, 4]),
        ("b.mp4", [3]),
        ("c.mp4", []),
    ]
    assert videos.entries[0].label.shape == (6,)
    assert load_video_list(path, multi_label=True).entries[0].label.shape == (5,)
    with pytest.raises(ValueError, match="line 1: more than 2 columns, expected `path label` with one label"):
        load_video_list(path)
    with pytest.raises(ValueError, match=r"label 4 of .*test 1.mp4 is out of range: num_classes is 4"):
        load_video_list(path, num_classes=4, multi_label=True)


def test_class_names_after_a_tab(tmp_path):
    touch(tmp_path, "x y/1.mp4", "2.mp4")
    path = write(tmp_path / "list.txt", "x y/1.mp4\triding a bike\n2.mp4\tair drumming\n")
    assert found(path) == [("1.mp4", 1), ("2.mp4", 0)]
    assert load_video_list(path).class_names == ("air drumming", "riding a bike")
    assert found(path, classes=["zumba", "riding a bike", "air drumming"]) == [("1.mp4", 1), ("2.mp4", 2)]
    write(tmp_path / "list.txt", "x y/1.mp4\triding_a_bike\n")
    assert found(path, classes=["zumba", "riding a bike"]) == [("1.mp4", 1)]
    with pytest.raises(ValueError, match=r"list.txt, line 2: label 'air drumming' is not a class index"):
        load_video_list(write(tmp_path / "list.txt", "x y/1.mp4\t1\n2.mp4\tair drumming\n"))


def test_multi_label_csv(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    path = write(tmp_path / "l.csv", 'path,label\na.mp4,"1,3"\nb.mp4,2 0\na.mp4,\n')
    labels = [classes_of(entry.label) for entry in load_video_list(path, multi_label=True).entries]
    assert labels == [[1, 3], [0, 2], []]


def test_frame_lists(tmp_path):
    for name in ("some/dir 7", "b"):
        (tmp_path / name).mkdir(parents=True)
    path = write(tmp_path / "list.txt", "some/dir 7 163 1\nb 122 0\n")
    videos = load_video_list(path)
    assert videos.format == "frame_list"
    assert [(e.path.name, e.label, e.frames) for e in videos.entries] == [
        ("dir 7", 1, FrameFiles("img_", 5, ".jpg", 1, 163)),
        ("b", 0, FrameFiles("img_", 5, ".jpg", 1, 122)),
    ]
    several = load_video_list(write(tmp_path / "list.txt", "b 122 0 3\nb 9 1\n"), multi_label=True)
    assert [(classes_of(e.label), e.frames.total) for e in several.entries] == [([0, 3], 122), ([1], 9)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("b 12 1\nb 1\n", "line 2: expected 3 columns, `folder total_frames label`"),
        ("b 0 1\n", "line 1: total_frames must be at least 1, got 0"),
        ("b -3 1\n", "line 1: total_frames must be at least 1, got -3"),
        ("b 12 -1\n", "line 1: label '-1' is not a class index"),
    ],
)
def test_bad_frame_lists(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"l.txt.*{message}"):
        load_video_list(write(tmp_path / "l.txt", text), check_files=False)


def test_ucf101(tmp_path):
    write(tmp_path / "classInd.txt", "1 ApplyEyeMakeup\n2 Archery\n")
    touch(tmp_path / "v", "Archery/v_Archery_g08_c01.avi", "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi")
    train = write(tmp_path / "trainlist01.txt", "Archery/v_Archery_g08_c01.avi 2\r\n")
    test = write(tmp_path / "testlist01.txt", "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\n")
    assert found(train, root=tmp_path / "v") == [("v_Archery_g08_c01.avi", 1)]
    assert found(test, root=tmp_path / "v") == [("v_ApplyEyeMakeup_g01_c01.avi", 0)]
    assert load_video_list(test, root=tmp_path / "v").class_names == ("ApplyEyeMakeup", "Archery")
    for text, message in (
        ("Archery/x.avi 1\n", "line 1: Archery is class 2 in classInd.txt, but 1 here"),
        ("Yoga/x.avi\n", "line 1: class 'Yoga' is not in classInd.txt"),
        ("x.avi 1\n", "line 1: expected `CLASS/video.avi`"),
    ):
        with pytest.raises(ValueError, match=f"trainlist02.txt, {message}"):
            load_video_list(write(tmp_path / "trainlist02.txt", text))


def test_hmdb51(tmp_path):
    splits = tmp_path / "splits"
    write(splits / "wave_test_split1.txt", "a.avi 1 \nb.avi 2 \nc.avi 0 \n")
    write(splits / "brush_hair_test_split1.txt", "d.avi 2 \ne.avi 1 \n")
    write(splits / "wave_test_split2.txt", "a.avi 2 \n")
    root = touch(tmp_path / "v", "wave/a.avi", "wave/b.avi", "brush_hair/d.avi", "brush_hair/e.avi")
    assert found(splits / "train_split1", root=root) == [("e.avi", 0), ("a.avi", 1)]
    assert found(splits / "test_split1", root=root) == [("d.avi", 0), ("b.avi", 1)]
    assert load_video_list(splits / "test_split1", root=root).class_names == ("brush_hair", "wave")
    with pytest.raises(ValueError, match="train_split2: none of 1 split files names a video to train"):
        load_video_list(splits / "train_split2", root=root)
    with pytest.raises(FileNotFoundError, match=r"no such folder or list of videos: .*train_split3"):
        load_video_list(splits / "train_split3", root=root)
    with pytest.raises(FileNotFoundError, match=r"no HMDB51 split files for .*train_split3; expected FOLDER/train"):
        load_video_list(splits / "train_split3", root=root, format="hmdb51")
    write(splits / "wave_test_split3.txt", "a.avi 3\n")
    with pytest.raises(ValueError, match=r"wave_test_split3.txt, line 1: expected `video.avi 0`, 1 or 2"):
        load_video_list(splits / "train_split3", root=root)


CHARADES = """id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length
46GP8,HR43,Kitchen,6,7,Yes,"A person, cooking, says ""hm"".
Then leaves.",food;stove,"One, two.",c092 11.90 21.20;c147 0.00 12.60,24.83
N11GT,0KZ7,Stairs,6,7,Yes,"Nothing, really.",,None.,,18.17
"""


def test_charades(tmp_path):
    (tmp_path / "v" / "46GP8").mkdir(parents=True)
    touch(tmp_path / "v", "N11GT.mp4", "46GP8.mp4")
    path = write(tmp_path / "Charades_v1_train.csv", CHARADES)
    videos = load_video_list(path, root=tmp_path / "v")
    assert videos.format == "charades"
    first, second = videos.entries
    assert first.path == tmp_path / "v" / "46GP8"
    assert first.frames == FrameFiles("46GP8-", 6, ".jpg", 1, None)
    assert first.actions == (Action(92, 11.9, 21.2), Action(147, 0.0, 12.6))
    assert (classes_of(first.label), first.label.shape, first.fps) == ([92, 147], (157,), 24.0)
    assert first.lines == range(2, 4)
    assert (second.path.name, second.frames, second.actions, second.fps) == ("N11GT.mp4", None, (), 24.0)
    assert (classes_of(second.label), second.lines) == ([], range(4, 5))
    with pytest.raises(
        ValueError, match=r"a list of Charades, and several labels a video need multi_label \(`--multi-label`"
    ):
        load_video_list(path, root=tmp_path / "v", multi_label=False)
    with pytest.raises(ValueError, match=r"label 147 of .*46GP8 is out of range: num_classes is 100"):
        load_video_list(path, root=tmp_path / "v", num_classes=100)


def test_charades_class_names_stand_beside_it(tmp_path):
    names = "".join(f"c{i:03d} Doing thing {i}\n" for i in range(157))
    path = write(tmp_path / "Charades_v1_test.csv", CHARADES)
    write(tmp_path / "Charades_v1_classes.txt", names)
    videos = load_video_list(path, num_classes=157, check_files=False)
    assert videos.class_names[:2] == ("Doing thing 0", "Doing thing 1")
    assert len(videos.class_names) == 157


@pytest.mark.parametrize(
    "actions", ["c092 11.90", "092 1 2", "c092 x 2", "c092 1 2 3", "c0a2 1 2", "c092 nan 2", "c 1 2"]
)
def test_bad_actions(tmp_path, actions):
    path = write(tmp_path / "l.csv", f"id,actions\n46GP8,c001 0 1\nN11GT,{actions}\n")
    with pytest.raises(ValueError, match=f"l.csv, line 3: expected actions such as .*, got '{actions}'"):
        load_video_list(path)


FRAMES = """original_vido_id video_id frame_id path labels
46GP8 0 0 46GP8/46GP8-000001.jpg ""
46GP8 0 1 46GP8/46GP8-000002.jpg "92"
46GP8 0 2 46GP8/46GP8-000003.jpg "92,147"
46GP8 0 3 46GP8/46GP8-000004.jpg "147"
46GP8 0 4 46GP8/46GP8-000005.jpg "92"
N11GT 1 0 N11GT/N11GT-000001.jpg ""
"""


def test_charades_frames(tmp_path):
    for name in ("46GP8", "N11GT"):
        (tmp_path / name).mkdir()
    videos = load_video_list(write(tmp_path / "train.csv", FRAMES), num_classes=157)
    assert videos.format == "charades_frames"
    first, second = videos.entries
    assert (first.path, first.frames, first.fps) == (tmp_path / "46GP8", FrameFiles("46GP8-", 6, ".jpg", 1, 5), 24.0)
    assert first.actions == (
        Action(92, 1 / 24, 2 / 24),
        Action(147, 2 / 24, 3 / 24),
        Action(92, 4 / 24, 4 / 24),
    )
    assert classes_of(first.label) == [92, 147]
    assert (first.lines, second.lines) == (range(2, 7), range(7, 8))
    assert (classes_of(second.label), second.actions) == ([], ())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "46GP8 0 6 46GP8/46GP8-000007.jpg 1",
            "the frames of 46GP8 do not follow one another: number 7 of 46GP8 comes after 5",
        ),
        ("46GP8 0 6 46GP8/46GP8-000006.jpg", "4 columns, expected 5"),
        ("46GP8 0 6 46GP8/46GP8-000006.jpg 1,x", "label 'x' is not a class index"),
        ("46GP8 0 6 46GP8/frame.jpg 1", "the frame's file name has no number: '46GP8/frame.jpg'"),
    ],
)
def test_bad_charades_frames(tmp_path, row, message):
    text = "\n".join([*FRAMES.splitlines()[:6], row])
    with pytest.raises(ValueError, match=f"l.csv, line 7: {message}"):
        load_video_list(write(tmp_path / "l.csv", text))


def test_rows_of_a_video_stand_together(tmp_path):
    path = write(tmp_path / "l.csv", FRAMES + '46GP8 0 5 46GP8/46GP8-000006.jpg ""\n')
    with pytest.raises(ValueError, match=r"l.csv, line 8: rows of video 46GP8 also stand further up"):
        load_video_list(path)


def test_a_prepared_copy_stands_in_for_another_suffix(tmp_path):
    touch(tmp_path, "a.mp4", "b.avi")
    path = write(tmp_path / "list.txt", "a.webm 0\nb.avi 1\n")
    assert found(path) == [("a.mp4", 0), ("b.avi", 1)]


def test_foreign_leading_folders_are_left_out(tmp_path):
    root = touch(tmp_path / "here", "val/x y/a.mp4", "val/b.mp4")
    path = write(tmp_path / "l.txt", "/nfs/them/val/x y/a.mp4 0\n/nfs/them/val/b.mp4 1\n/nfs/them/val/gone.mp4 1\n")
    with pytest.raises(FileNotFoundError, match=r"1 of 3 files are missing \(line 3: .*here/val/gone.mp4\)"):
        load_video_list(path, root=root)
    paths = [entry.path for entry in load_video_list(path, root=root, check_files=False).entries]
    assert paths == [root / "val/x y/a.mp4", root / "val/b.mp4", root / "val/gone.mp4"]


def test_a_format_can_be_named(tmp_path):
    touch(tmp_path, "id1", "id2")
    path = write(tmp_path / "l.txt", "id1 2 4\nid2 0\n")
    assert recognise(path, ["id1 2 4\n"]) == "frame_list"
    videos = load_video_list(path, multi_label=True, format="path_list")
    assert [classes_of(entry.label) for entry in videos.entries] == [[2, 4], [0]]
    with pytest.raises(ValueError, match=r"format must be one of class_folders, path_list, .*, got 'lmdb'"):
        load_video_list(path, format="lmdb")
    with pytest.raises(FileNotFoundError, match="no such list of videos"):
        load_video_list(tmp_path, format="kinetics")
    with pytest.raises(FileNotFoundError, match="no such folder of class folders"):
        load_video_list(path, format="class_folders")


# Heads that lead into each format, and the alphabet of its rows.
HEADS = {
    "path_list": ("", 'a.mp4 ,\t\n"0123x\r\0é-'),
    "frame_list": ("b 12 1\n", "b/ ,\t\n012-\0"),
    "path_csv": ("path,label\n", 'a.mp4 ,\t\n"0123x\r'),
    "kinetics": ("label,youtube_id,time_start,time_end\n", 'zabcdefghijk-_01,"\n./e'),
    "ucf101": ("", "Archery/. 12\n\0"),
    "hmdb51": ("", "a.vi 012\n\0"),
    "charades": ("id,actions\n", 'N1,;c01 .-e"\n/{}'),
    "charades_frames": ("original_vido_id video_id frame_id path labels\n", 'a 0a/b1.j,"{}\n\0'),
}


def test_every_format_of_lists_has_a_head() -> None:
    assert {*HEADS, "class_folders"} == set(FORMAT_NAMES)


@pytest.mark.parametrize("name", HEADS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120, deadline=None)
@given(data=st.data())
def test_any_bytes_give_a_list_or_one_clear_error(tmp_path, name, data):
    head, alphabet = HEADS[name]
    body = data.draw(st.one_of(st.binary(max_size=60), st.text(alphabet=alphabet, max_size=60).map(str.encode)))
    several = data.draw(st.booleans()) or name.startswith("charades")
    file = {"ucf101": "trainlist01.txt", "hmdb51": "wave_test_split1.txt"}.get(name, "fuzz.csv")
    source = tmp_path / ("train_split1" if name == "hmdb51" else file)
    (tmp_path / "classInd.txt").write_text("1 Archery\n2 Yoga\n")
    (tmp_path / file).write_bytes(head.encode() + body)
    try:
        videos = load_video_list(source, format=name, multi_label=several, check_files=False)
    except ValueError as error:
        assert str(error).startswith((str(source), str(tmp_path / file)))  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert videos.format == name
        assert videos.entries
        for entry in videos.entries:
            assert "\0" not in str(entry.path)
            assert entry.label.ndim == 1 if several else entry.label >= UNLABELLED
            if entry.frames is not None:
                assert entry.frames.name(0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(head=st.sampled_from(sorted(head for head, _ in HEADS.values())), body=st.binary(max_size=80))
def test_whatever_is_recognised_is_read_or_refused(tmp_path, head, body):
    path = tmp_path / "fuzz.csv"
    path.write_bytes(head.encode() + body)
    try:
        videos = load_video_list(path, check_files=False)
    except ValueError as error:
        assert str(error).startswith(str(path))  # noqa: PT017
    else:
        assert videos.entries
