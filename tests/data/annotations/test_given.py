"""Which videos a file, a folder, a pattern and a list mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from make_videos import write_video
from nonlocalnet.data.annotations.given import find_given


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Names alone: nothing here decodes."""
    for name in ("b.mp4", "a.MKV", "deep/er/c.avi", ".hidden.mp4", ".git/d.mp4", "deep/notes.txt"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\0\0\x18ftyp")
    return tmp_path / "videos"


def names(given: list[str | Path], **options: object) -> list[str]:
    return [video.entry.path.name for video in find_given(given, **options)]  # pyright: ignore[reportArgumentType]


def test_a_folder_is_searched_to_its_depth_by_known_suffixes(folder: Path) -> None:
    assert names([folder]) == ["a.MKV", "b.mp4", "c.avi"]


def test_a_pattern_is_what_it_matches(folder: Path) -> None:
    assert names([f"{folder}/*.mp4"]) == ["b.mp4"]
    assert names([f"{folder}/**/*.avi"]) == ["c.avi"]
    assert names([f"{folder}/d*"]) == ["c.avi"]
    with pytest.raises(ValueError, match=r"\*\.webm: no file matches this pattern"):
        find_given([f"{folder}/*.webm"])


def test_a_file_of_this_very_name_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "take [1].mp4").write_bytes(b"\0")
    assert names([tmp_path / "take [1].mp4"]) == ["take [1].mp4"]


def test_a_video_named_twice_is_read_once(folder: Path) -> None:
    assert names([folder / "b.mp4", folder]) == ["b.mp4", "a.MKV", "c.avi"]


def test_a_folder_without_videos_and_a_missing_file(folder: Path) -> None:
    (folder.parent / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: no videos in this folder or below it.* \.mp4"):
        find_given([folder.parent / "empty"])
    assert names([folder / "no.mp4", folder / "no"]) == ["no.mp4", "no"]


def test_a_list_gives_its_videos_and_says_what_is_in_them(folder: Path) -> None:
    (folder / "list.csv").write_text("path,label\nb.mp4,1\ndeep/er/c.avi,0\n")
    found = find_given([folder / "list.csv"], class_names=["run", "sit"])
    assert [(video.entry.path.name, video.label) for video in found] == [("b.mp4", "sit"), ("c.avi", "run")]
    assert [video.label for video in find_given([folder / "list.csv"])] == ["1", "0"]
    (folder / "classes.txt").write_text("walk\nstand\n")  # the list's own names win
    assert [video.label for video in find_given([folder / "list.csv"], class_names=["run", "sit"])] == ["stand", "walk"]
    (folder / "several.txt").write_text("b.mp4 0 1\n")
    assert [video.label for video in find_given([folder / "several.txt"], multi_label=True)] == ["walk; stand"]


def test_a_list_of_paths_alone(folder: Path) -> None:
    (folder / "list.txt").write_text('b.mp4\n\n"deep/er/c.avi"\n')
    found = find_given([folder / "list.txt"])
    assert [(video.entry.path, video.label) for video in found] == [
        (folder / "b.mp4", ""),
        (folder / "deep/er/c.avi", ""),
    ]


def test_text_that_is_no_list_is_refused_with_its_line(folder: Path) -> None:
    (folder / "README.md").write_text("# Videos\n")
    with pytest.raises(ValueError, match=r"README\.md, line 1"):
        find_given([folder / "README.md"])


def test_a_video_without_the_suffix_of_one_is_a_video(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", num_frames=2).rename(tmp_path / "recording")
    assert names([video]) == ["recording"]
    (tmp_path / "nothing").touch()
    assert names([tmp_path / "nothing"]) == ["nothing"]


def test_frames_of_a_listed_folder(folder: Path) -> None:
    (folder / "frames.txt").write_text("v1 10 1\nv2 10 0\n")
    found = find_given([folder / "frames.txt"])
    assert [video.entry.path.name for video in found] == ["v1", "v2"]
    assert all(video.entry.frames is not None for video in found)


@pytest.mark.parametrize("text", ['{"images": []}', '[{"video": "a.mp4"}]', '\ufeff \n{"a": 1}'])
def test_json_is_no_list(tmp_path: Path, text: str) -> None:
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(ValueError, match=r"annotations\.json holds JSON: it is neither a video nor a list of videos"):
        find_given([tmp_path / "annotations.json"])


def test_a_path_in_brackets_begins_no_json(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("[1] a.mp4\n{x}.mp4\n")
    assert names([tmp_path / "list.txt"]) == ["[1] a.mp4", "{x}.mp4"]


def test_text_says_that_it_was_taken_for_a_list(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("hello\nworld\n")
    with pytest.raises(ValueError, match=r"line 1: .*it was read as a list of videos, since it holds text"):
        find_given([tmp_path / "notes"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no rows; expected one `path label` a line"),
        ("a.mp4 0\n".encode("utf-16"), "UTF-16 text, expected UTF-8"),
        (b"a.mp4\0 0\n", "line 1: zero bytes"),
        (b"caf\xe9.mp4 0\n", "line 1: not UTF-8 text"),
        (b"\x1f\x8b\x08\0", "is a gzip archive"),
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".CSV"])
def test_what_is_named_as_a_list_is_one(tmp_path: Path, content: bytes, message: str, suffix: str) -> None:
    """It was handed on as a video; with a root, that was refused for want of a list."""
    path = tmp_path / f"list{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        find_given([path], root=tmp_path)
    assert str(path) in str(error.value)
    assert "it was read as a list of videos, since it is named as lists are" in str(error.value)


def test_an_empty_name_is_not_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match="the name of a video is empty"):
        find_given([""])
    assert names(["."]) == ["a.MKV", "b.mp4", "c.avi"]
