"""Files and folders appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from nonlocalnet.system.files import partial_path, whole_file, whole_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_its_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with whole_file(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
        assert partial == partial_path(target)
        assert partial.suffix == ".txt"  # by which encoders choose the container
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_a_file_whose_block_fails_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with pytest.raises(IsADirectoryError), whole_file(target) as partial:
        (partial.write_text("half"), tmp_path.read_text())
    assert names(tmp_path) == []


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    partial_path(target).write_text("left behind")
    with whole_file(target) as partial:
        partial.write_text("new")
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_folder_appears_when_its_block_ends(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "above" / "data"
    if exists:
        target.mkdir(parents=True)
    with whole_folder(target) as staging:
        (staging / "a.txt").write_text("a")
        (staging / "b").mkdir()
        assert not exists or names(target) == []
    assert names(target) == ["a.txt", "b"]
    assert names(target.parent) == ["data"]


def test_a_folder_whose_block_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), whole_folder(tmp_path / "data") as staging:
        ((staging / "a.txt").write_text("a"), tmp_path.read_text())
    assert names(tmp_path) == []


def test_a_folder_that_holds_anything_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="exists and is not empty"), whole_folder(tmp_path):
        raise AssertionError
    with pytest.raises(ValueError, match="exists and is not a folder"), whole_folder(tmp_path / "thesis.tex"):
        raise AssertionError
    assert names(tmp_path) == ["thesis.tex"]
