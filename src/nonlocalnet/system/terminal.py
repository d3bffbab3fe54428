"""Consoles on which class names, paths, tensor names and whatever else others wrote are data, not markup."""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from nonlocalnet.system.visible import visible

# No table is wider; a display that fills the width would be, and is shown in terminals alone.
_UNCUT = 100_000  # characters


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A rich console on which every text is data.

    Where it writes to a file or a pipe, no line is cut, unless the environment's COLUMNS gives a width: rich would take
    80 columns, or those of the terminal that another stream belongs to.
    """
    console = _Console(stderr=stderr, quiet=quiet, markup=False, emoji=False, highlight=False)
    if not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = _UNCUT
    return console


class _Console(Console):
    @override
    def print(self, *objects: Any, **options: Any) -> None:
        """Print; a table's title, which may be a path, is one line: rich would break it where the table ends."""
        tables = [thing for thing in objects if isinstance(thing, Table)]
        titles = [(table, table.title) for table in tables if isinstance(table.title, str)]
        for table, title in titles:
            super().print(self.render_str(title, style=table.title_style or "table.title"), soft_wrap=True)
            table.title = None
        super().print(*objects, **options)
        for table, title in titles:
            table.title = title

    @override
    def render_str(self, text: str, **options: Any) -> Text:
        """The texts that are printed, and those of tables and their titles, all come through here."""
        return super().render_str(visible(text), **options)
