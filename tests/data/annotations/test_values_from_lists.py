"""Classes that a list cannot have are refused by row and value, and long values are cut in every error."""

import pytest

from nonlocalnet.data.annotations import load_video_list

_CHARADES = "id,script,actions\n"
_FRAMES = "original_vido_id video_id frame_id path labels\n"
_LONG = "x" * 3000


def _written(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("highest", [157, 999])
def test_classes_beyond_those_of_charades_are_refused(tmp_path, highest):
    source = _written(tmp_path, "a.csv", f"{_CHARADES}A,,c156 0 1\nB,,c003 0 1;c{highest} 0 1\n")
    with pytest.raises(
        ValueError,
        match=rf"a\.csv, line 3: label {highest} of .*B\.mp4 is out of range: charades lists have 157 classes, .* 156",
    ):
        load_video_list(source, check_files=False)
    assert len(load_video_list(source, num_classes=1000, check_files=False).entries) == 2
    frames = _written(tmp_path, "b.csv", f'{_FRAMES}A 0 0 A/A-000001.jpg "3"\nA 0 1 A/A-000002.jpg "3,{highest}"\n')
    with pytest.raises(ValueError, match=rf"b\.csv, line 3: label {highest} of .*A is out of range"):
        load_video_list(frames, check_files=False)


@pytest.mark.parametrize("written", ["c-01", "c1", "c0092", "C092", "c 92", "092", "c09²", "c+92", "c092x"])
def test_classes_of_charades_are_c_and_three_digits(tmp_path, written):
    source = _written(tmp_path, "a.csv", f"{_CHARADES}A,,{written} 0.0 1.0\n")
    with pytest.raises(ValueError, match=r"a\.csv, line 2: expected actions such as `c092 .* got "):
        load_video_list(source, check_files=False)


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("path.csv", f"path,label\na.mp4,0\nb.mp4,{_LONG}\n", {}),
        ("columns.csv", f"path,label,{_LONG}\na.mp4,0\n", {}),
        ("out_of_range.csv", f"path,label\n{_LONG}.mp4,7\n", {"num_classes": 2}),
        ("names.csv", f"path,label\na.mp4,{_LONG}\n", {"classes": ["walk", "run"]}),
        ("mixed.csv", f"path,label\na.mp4,{_LONG}\nb.mp4,3\n", {}),
        ("list.txt", f"a.mp4 0\nb.mp4 {_LONG}\n", {}),
        ("missing.txt", f"{_LONG}.mp4 0\n{_LONG}2.mp4 0\n", {"check_files": True}),
        ("actions.csv", f"{_CHARADES}A,,c001 {_LONG}\n", {}),
        ("id.csv", f"{_CHARADES}{_LONG}/,,c001 0 1\n", {}),
        ("frames.csv", f"{_FRAMES}{_LONG} 0 0 {_LONG}/a.jpg 0\n", {}),
        ("frames_apart.csv", f"{_FRAMES}{_LONG} 0 0 {_LONG}/a-1.jpg 0\n{_LONG} 0 1 {_LONG}/a-7.jpg 0\n", {}),
        ("frames.txt", f"{_LONG} {_LONG} {_LONG}\n", {"format": "frame_list"}),
        ("kinetics.csv", f"youtube_id,time_start,time_end,split\n{_LONG},0,10,train\n", {}),
    ],
)
def test_long_values_are_cut_in_errors(tmp_path, name, text, options):
    source = _written(tmp_path, name, text)
    with pytest.raises((ValueError, FileNotFoundError)) as refusal:
        load_video_list(source, **{"check_files": False, **options})
    said = str(refusal.value)
    assert name in said
    assert "characters more" in said
    assert len(said) < 1200
