"""What others wrote is printed as data: markup and escape codes in it are seen."""

import io
import logging
import os

import pytest
from rich.table import Table

from nonlocalnet.system import progress
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.visible import LogFormatter, visible

HOSTILE = "a[/b][bold]c \x1b[2J\x1b]0;title\x07 \r\u202e:smile: \udcff"
SEEN = "a[/b][bold]c \\x1b[2J\\x1b]0;title\\x07 \\r\\u202e:smile: \\udcff"


def test_invisible_characters_are_seen_and_letters_stay():
    assert visible(HOSTILE) == SEEN
    for text in ("déjà vu", "日本語", "two\nlines\tand a tab", "\u3000", "🏂"):
        assert visible(text) == text
    assert os.fsencode(visible(os.fsdecode(b"\xff.mp4"))) == b"\\udcff.mp4"


def test_every_way_to_a_console():
    console = make_console()
    console.file = io.StringIO()
    console.width = 200
    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_column(HOSTILE, footer=HOSTILE)
    table.add_row(HOSTILE, HOSTILE)
    console.print(table)
    console.print(HOSTILE, soft_wrap=True)
    printed = console.file.getvalue()
    assert printed.count(SEEN) == 7
    assert not any(code in printed for code in ("\x1b", "\x07", "\r", "\u202e", "\udcff"))


def test_logs():
    record = logging.LogRecord("nonlocalnet", logging.INFO, "", 0, "read %s", (HOSTILE,), None)
    assert LogFormatter("%(message)s").format(record) == f"read {SEEN}"


@pytest.mark.parametrize("terminal", [True, False])
def test_progress(monkeypatch, terminal):
    console = make_console()
    console.file = io.StringIO()
    console.width = 300
    monkeypatch.setattr(progress, "make_console", lambda **_: console)
    monkeypatch.setattr(type(console), "is_terminal", terminal)
    with progress.progress_bars(seconds=0) as bars:
        bars.update(bars.add_task(HOSTILE, total=1, note=""), advance=1, note=HOSTILE)
    assert console.file.getvalue().count(SEEN) >= 2


def table_line(monkeypatch, capsys, **environment):
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    table = Table(title="a title")
    table.add_column("c")
    table.add_row("x" * 500)
    console = make_console()
    console.print(table)
    console.print("y" * 300)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) < 600  # nothing is padded to the width
    return shown


def test_a_file_or_pipe_has_whole_lines(monkeypatch, capsys):
    shown = table_line(monkeypatch, capsys)
    assert "x" * 500 in shown
    assert "y" * 300 in shown
    # A terminal that standard input or error belongs to says nothing of where the table goes.
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((40, 20)))
    assert "x" * 500 in table_line(monkeypatch, capsys)
    assert max(map(len, table_line(monkeypatch, capsys, COLUMNS="60").splitlines())) == 60


def test_a_terminal_keeps_its_width(monkeypatch, capsys):
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((40, 20)))
    lines = table_line(monkeypatch, capsys, TTY_COMPATIBLE="1").splitlines()
    assert lines[-1] == "y" * 20
    assert max(len(line) for line in lines if "x" in line) == 40


@pytest.mark.parametrize("justify", ["left", "center"])
@pytest.mark.parametrize(
    "environment", [{}, {"COLUMNS": "40"}, {"COLUMNS": "40", "TTY_COMPATIBLE": "1", "NO_COLOR": "1", "TERM": "dumb"}]
)
def test_a_title_is_a_line_of_its_own_however_narrow_table_or_console_are(monkeypatch, capsys, justify, environment):
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    path = "/videos of mine/" + "long/" * 30 + "a.mp4"
    table = Table(title=path, title_justify=justify)
    table.add_column("class")
    for _ in range(2):  # and is still there the next time
        make_console().print(table)
        assert capsys.readouterr().out.splitlines()[0] == path
