"""Files that belong together: all of them or none, and what a signal says while they are written."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from nonlocalnet.system import results
from nonlocalnet.system.errors import OutputError
from nonlocalnet.system.results import write_results
from nonlocalnet.system.stops import Stopped, stoppable

CONTENTS = {"a.csv": "a\n", "b.bin": b"\0b", "summary.json": "{}\n"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_last_is_named_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[str] = []
    replace = Path.replace

    def noted(path: Path, target: Path) -> Path:
        named.append(target.name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", noted)
    write_results(tmp_path, lambda: CONTENTS)
    assert named == list(CONTENTS)
    assert [(tmp_path / name).read_bytes() for name in CONTENTS] == [b"a\n", b"\0b", b"{}\n"]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_where_one_cannot_be_written_none_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    (tmp_path / "a.csv").write_text("of before\n")
    asked: list[int] = []

    def full(handle: int) -> None:
        asked.append(handle)
        if len(asked) == at:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_results(tmp_path, lambda: CONTENTS)
    assert names(tmp_path) == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "of before\n"


def test_a_signal_waits_and_says_that_nothing_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole_file = results.whole_file

    def interrupted(path: Path):
        os.kill(os.getpid(), signal.SIGTERM)
        return whole_file(path)

    monkeypatch.setattr(results, "whole_file", interrupted)
    with pytest.raises(Stopped), stoppable():
        write_results(tmp_path, lambda: CONTENTS)
    assert names(tmp_path) == sorted(CONTENTS)
    assert capsys.readouterr().err == f"nonlocalnet: stopped by SIGTERM; all results are in {tmp_path}\n"
