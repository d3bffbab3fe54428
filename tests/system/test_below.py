"""What lies below a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from nonlocalnet.system.below import files_below


def below(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in files_below(folder)]


def _write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def test_a_folders_own_files_come_first_and_hidden_ones_not_at_all(tmp_path: Path) -> None:
    _write(tmp_path, "b.txt", "a/z.txt", "a/b/c.txt", ".hidden", ".git/x", "c")
    assert below(tmp_path) == ["b.txt", "c", "a/z.txt", "a/b/c.txt"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    """A link to the folder above had every file found 40 times, and 3400 videos prepared where there were 84."""
    _write(tmp_path, "in/a.txt", "out/b.txt")
    (tmp_path / "in/again").symlink_to("../in", target_is_directory=True)
    (tmp_path / "in/top").symlink_to("..", target_is_directory=True)
    (tmp_path / "in/x").symlink_to("../out", target_is_directory=True)
    (tmp_path / "in/y").symlink_to("../out", target_is_directory=True)
    (tmp_path / "in/nowhere").symlink_to("absent")
    (tmp_path / "in/loop").symlink_to("loop")
    assert below(tmp_path / "in") == [
        *("a.txt", "loop", "nowhere"),
        *("top/out/b.txt", "x/b.txt", "y/b.txt"),
    ]


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert below(tmp_path / "absent") == []


@pytest.mark.parametrize("name", ["a[1].txt", "new\nline", "\x1b[31m"])
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    _write(tmp_path, name)
    assert below(tmp_path) == [name]
