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
