"""A folder that is being filled is never taken for a whole one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from listing import names
from nonlocalnet.system import locks
from nonlocalnet.system.errors import OutputError
from nonlocalnet.system.folders import whole_folder


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


@pytest.mark.parametrize("name", ["n" * 255, "n" * 230, "é" * 127])
def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path, name: str) -> None:
    with whole_folder(tmp_path / name) as staging:
        (staging / "a.txt").touch()
        with pytest.raises(OutputError, match="another process"), whole_folder(tmp_path / name):
            raise AssertionError
    assert names(tmp_path) == [name]
    assert names(tmp_path / name) == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="no locks")
def test_a_folder_that_a_killed_process_left_is_removed_and_a_living_ones_stays(tmp_path: Path) -> None:
    target = tmp_path / "data"
    code = (
        "import sys, time; from pathlib import Path; from nonlocalnet.system.folders import whole_folder\n"
        "with whole_folder(Path(sys.argv[1])) as staging:\n"
        "    (staging / 'a').touch(); print(staging.name, flush=True); time.sleep(60)"
    )
    for other in (".data.partial", ".data2.nonlocalnet-partial", "data.nonlocalnet-partial"):
        (tmp_path / other).mkdir()
    kept = names(tmp_path)
    with subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = process.stdout.readline().strip()
        with pytest.raises(OutputError, match=r"another process is writing into .*data; wait"), whole_folder(target):
            raise AssertionError
        assert names(tmp_path) == sorted([*kept, left])
        process.kill()
        process.wait()
    with whole_folder(target) as staging:
        assert names(tmp_path) == sorted([*kept, staging.name])
    assert names(tmp_path) == sorted([*kept, "data"])


@pytest.mark.skipif(os.name != "posix", reason="no locks")
def test_of_many_that_begin_at_once_one_goes_on(tmp_path: Path) -> None:
    """Each handle has a lock of its own, so threads stand for processes."""
    started = Barrier(8)

    def fill(number: int) -> str:
        started.wait()
        try:
            with whole_folder(tmp_path / "data") as staging:
                (staging / f"{number}.txt").write_text("")
                time.sleep(0.5)
        except OutputError:
            return "refused"
        return "filled"

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(fill, range(8)))
    assert sorted(said) == ["filled", *["refused"] * 7]
    assert names(tmp_path) == ["data"]
    assert names(tmp_path / "data") == [f"{said.index('filled')}.txt"]


@pytest.mark.parametrize("there", ["file", "link"])
def test_what_has_the_name_and_is_no_folder_stays(tmp_path: Path, there: str) -> None:
    name = tmp_path / ".data.nonlocalnet-partial"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    if there == "file":
        name.touch()
    else:
        name.symlink_to(tmp_path / "other")
    with whole_folder(tmp_path / "data") as staging:
        (staging / "a.txt").touch()
    assert names(tmp_path) == [name.name, "data", "other"]
    assert names(tmp_path / "other") == ["thesis.tex"]
    assert names(tmp_path / "data") == ["a.txt"]


@pytest.mark.parametrize("left", [True, False])
def test_without_locks_nothing_that_may_be_anothers_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: bool
) -> None:
    anothers = tmp_path / ".data.nonlocalnet-partial"
    if left:
        anothers.mkdir()
        (anothers / "a.txt").touch()
    monkeypatch.setattr(locks, "fcntl", None)
    with whole_folder(tmp_path / "data"):
        pass
    assert names(tmp_path) == [anothers.name, "data"] if left else ["data"]
    assert not left or names(anothers) == ["a.txt"]
