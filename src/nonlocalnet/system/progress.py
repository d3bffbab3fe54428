"""Progress bars on standard error, so that standard output holds results alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text


def progress_bars(*, transient: bool = False) -> Progress:
    """A display of bars, one a task: its label, count and times, and what its field `note` says.

    Args:
        transient: Whether the bars go when the display stops.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(table_column=Column(min_width=7)),
        TimeRemainingColumn(table_column=Column(min_width=7)),
        _NoteColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=transient)


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show `what` with a bar that moves by one of `total` at each call of the function yielded."""
    progress = progress_bars(transient=True)
    task = progress.add_task(what, total=total)

    def advance() -> None:
        # Drawn from the first step on: an error before it stays one line.
        progress.start()
        progress.advance(task)

    try:
        yield advance
    finally:
        if progress.live.is_started:
            progress.stop()


class _NoteColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("note", "")))
