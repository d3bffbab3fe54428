"""Progress where standard error is no terminal: whole lines, without cursor movements."""

from __future__ import annotations

import pytest

from nonlocalnet.system.progress import counted, progress_bars


def test_lines_are_whole_and_come_at_every_update_if_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars(seconds=0) as bars:
        task = bars.add_task("train", total=40, completed=10)
        bars.update(task, completed=20, note="loss 1.234  " + "x" * 100)
        bars.update(task, completed=40, note="loss 1.0")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("train 20/40  loss 1.234  xxx")
    assert lines[0].endswith("  0:00:00 left")
    assert lines[1:] == ["train 40/40  loss 1.0"]


def test_nothing_is_shown_where_nothing_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bars(shown=False, seconds=0) as bars:
        bars.advance(bars.add_task("test", total=1))
    assert capsys.readouterr().err == ""


def test_a_count_is_one_line_at_its_end_and_a_line_in_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("nonlocalnet.system.progress.time.monotonic", lambda: next(clock))
    with counted("checking videos", 6) as advance:
        for _ in range(6):
            advance()
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert said.splitlines()[-1] == "checking videos 6/6"
    assert 2 <= len(said.splitlines()) <= 4


def test_what_waits_for_its_turn_is_timed_from_its_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("nonlocalnet.system.progress.time.monotonic", lambda: now)
    with progress_bars(seconds=0) as bars:
        task = bars.add_task("train", total=11, start=False)
        now = 3600.0
        for _ in range(2):
            bars.start_task(task)
            now += 2
            bars.advance(task)
    assert capsys.readouterr().err.splitlines() == ["train 1/11  0:00:20 left", "train 2/11  0:00:18 left"]
