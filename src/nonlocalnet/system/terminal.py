"""Consoles on which class names, paths, tensor names and whatever else others wrote are data, not markup."""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
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
        """Print; a table's title, which may be a path, is as wide as the console is."""
        for thing in objects:
            if isinstance(thing, Table) and isinstance(thing.title, str):
                thing.title = _Title(self.render_str(thing.title, style=thing.title_style or "table.title"))  # pyright: ignore[reportAttributeAccessIssue]
        super().print(*objects, **options)

    @override
    def render_str(self, text: str, **options: Any) -> Text:
        """The texts that are printed, and those of tables and their titles, all come through here."""
        return super().render_str(visible(text), **options)


class _Title:
    """rich breaks a title where the table ends, and pads it to there."""

    def __init__(self, text: Text) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self._text, options.update(width=console.width, justify=None))
