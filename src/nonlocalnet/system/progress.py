"""A progress bar on stderr, so that stdout holds results alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show `what` with a bar that moves by one of `total` at each call of the function yielded."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
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
