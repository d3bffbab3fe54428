"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from listing import names
from nonlocalnet.system.errors import OutputError
from nonlocalnet.system.files import (
    append_line,
    is_partial_of,
    partial_path,
    whole_file,
    write_atomically,
)
from nonlocalnet.system.folders import whole_folder


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


def test_writers_of_one_file_at_once_never_meet(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with whole_file(target) as first:
        first.write_text("first")
        with whole_file(target) as second:
            second.write_text("second")
            assert first != second
            assert is_partial_of(first, target)
            assert is_partial_of(second, target)
        assert target.read_text() == "second"
        with whole_file(target) as again:
            assert again == second  # names are used again
            again.write_text("again")
        assert first.read_text() == "first"
    assert target.read_text() == "first"
    assert names(tmp_path) == ["a.txt"]


def test_many_writers_leave_one_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"

    def write(number: int) -> None:
        for _ in range(20):
            with whole_file(target) as partial:
                partial.write_text(str(number) * 10_000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert target.read_text() in {str(number) * 10_000 for number in range(8)}
    assert names(tmp_path) == ["a.txt"]


def test_a_new_file_takes_nobodys_place(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"

    def both() -> None:
        with whole_file(target, new=True) as second:
            second.write_text("second")
            with whole_file(target, new=True) as first:
                first.write_text("first")

    with pytest.raises(OutputError, match=r"a\.txt was written by another process meanwhile"):
        both()
    assert target.read_text() == "first"
    assert names(tmp_path) == ["a.txt"]


def test_a_new_file_where_a_file_system_knows_no_second_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no links")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with whole_file(tmp_path / "a.txt", new=True) as partial:
        partial.write_text("new")
    assert names(tmp_path) == ["a.txt"]


def test_a_file_whose_writer_was_killed_as_it_named_it_stays_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("whole")
    partial_path(target).hardlink_to(target)
    with whole_file(target) as partial:
        assert target.read_text() == "whole"
        partial.write_text("next")
    assert target.read_text() == "next"
    assert names(tmp_path) == ["a.txt"]


def test_a_name_is_free_when_its_writer_is_dead(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    code = (
        "import sys, time; from pathlib import Path; from nonlocalnet.system.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); print('writing', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with whole_file(target) as partial:
            assert partial == partial_path(target, 2)
            partial.write_text("mine")
        process.kill()
        process.wait()
    assert target.read_text() == "mine"
    with whole_file(target) as partial:
        assert partial == partial_path(target)
        partial.write_text("next")
    assert names(tmp_path) == ["a.txt"]


def test_only_its_own_names_are_partial() -> None:
    path = Path("run/a.json")
    assert is_partial_of(Path("run/.a.partial-12.json"), path)
    for other in ("run/.a.partial-.json", "run/.ab.partial.json", "run/a.json", "b/.a.partial.json"):
        assert not is_partial_of(Path(other), path)


@pytest.mark.parametrize("name", ["n" * 251 + ".mp4", "n" * 240 + ".mp4", "é" * 125 + ".json", "n" * 255])
def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with whole_file(path) as partial:
        assert is_partial_of(partial, path)
        partial.write_text("whole")
        with whole_file(path) as second:
            assert second != partial
            second.write_text("first")
    assert path.read_text() == "whole"
    assert names(tmp_path) == [name]


def test_text_that_is_no_utf8_is_written_escaped(tmp_path: Path) -> None:
    """The name of a file or of a class folder may be any bytes; a test that names it ended after all the work."""
    name = os.fsdecode(b"caf\xe9.mp4")
    write_atomically(tmp_path / "a.csv", f"é,{name}\n")
    append_line(tmp_path / "a.csv", name)
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "é,caf\\udce9.mp4\ncaf\\udce9.mp4\n"


def test_a_line_comes_to_the_end_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.txt"
    append_line(target, "one")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"cannot write .*a.txt: No space left on device; free some"):
            append_line(target, "two")
    assert target.read_text() == "one\n"
    append_line(target, "drei ü")
    assert target.read_text(encoding="utf-8") == "one\ndrei ü\n"


def test_what_a_link_leads_to_is_written_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    for number, target in enumerate((tmp_path / "far" / "there.txt", tmp_path / "far" / "not_yet.txt")):
        if not number:
            target.write_text("old")
        link = tmp_path / f"link{number}.txt"
        link.symlink_to(target)
        write_atomically(link, "new")
        assert link.is_symlink()
        assert target.read_text() == "new"
    assert names(tmp_path) == ["far", "link0.txt", "link1.txt"]
    assert names(tmp_path / "far") == ["not_yet.txt", "there.txt"]


def test_no_file_takes_the_place_of_a_pipe_or_a_device(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    link = tmp_path / "link"
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(OutputError, match=r"cannot write .*pipe: it is a device or a pipe"):
            write_atomically(path, "x")
    assert pipe.is_fifo()
    assert names(tmp_path) == ["link", "pipe"]


@pytest.mark.parametrize("name", ["EROFS", "EACCES"])
def test_what_cannot_be_begun_is_named_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Not the partial file or folder, which no user knows of."""

    def barred(path: object, *_: object, **__: object) -> None:
        raise OSError(getattr(errno, name), "Read-only file system", str(path))

    target = tmp_path / "a.bin"
    said = rf"cannot write {re.escape(str(target))}: Read-only file system; give another place; what stood there"
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", barred)
        with pytest.raises(OutputError, match=said), whole_file(target):
            pass
        with pytest.raises(OutputError, match=said):
            write_atomically(target, "")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", barred)
        with pytest.raises(OutputError, match=said), whole_folder(target):
            pass
    assert names(tmp_path) == []
