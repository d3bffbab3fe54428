"""Progress on standard error, so that standard output holds results alone: bars in a terminal, else whole lines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text
from typing_extensions import override

from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.visible import visible

_SECONDS_BETWEEN_LINES = 30.0


def progress_bars(*, transient: bool = False, shown: bool = True, seconds: float = _SECONDS_BETWEEN_LINES) -> Progress:
    """A display of bars, one a task: its label, count and times, and what its field `note` says.

    Args:
        transient: Whether the bars go when the display stops.
        shown: Whether anything is shown at all.
        seconds: Between two lines of a task, where standard error is no terminal; 0 for a line at every update.
    """
    console = make_console(stderr=True)
    if shown and not console.is_terminal:
        return _Lines(console, seconds=seconds)
    columns = (
        _LabelColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(table_column=Column(min_width=7)),
        TimeRemainingColumn(table_column=Column(min_width=7)),
        _NoteColumn(),
    )
    return Progress(*columns, console=console, transient=transient, disable=not shown)


class Counter:
    """A bar that moves by one at each call.

    Args:
        progress: The display; drawn from the first step on, so that an error before it stays one line.
        what: Its label.
        total: Its end.
    """

    def __init__(self, progress: Progress, what: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def expect(self, total: int) -> None:
        """Set the end, where it was not known before."""
        self._progress.update(self._task, total=total)

    def __call__(self) -> None:
        """Move by one."""
        self._progress.start()
        self._progress.advance(self._task)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar away while results are written to the same terminal."""
        shown = self._progress.live.is_started
        if shown:
            self._progress.stop()
        try:
            yield
        finally:
            if shown:
                self._progress.start()


@contextmanager
def counted(what: str, total: int) -> Iterator[Counter]:
    """Show `what` with a bar that moves by one of `total` at each call of what is yielded."""
    progress = progress_bars(transient=True)
    try:
        yield Counter(progress, what, total)
    finally:
        if progress.live.is_started:
            progress.stop()


class _Lines(Progress):
    """Prints a line for a task now and then, and at its end."""

    def __init__(self, console: Console, *, seconds: float) -> None:
        super().__init__(console=console, disable=True)
        self._seconds = seconds
        self._first: dict[TaskID, tuple[float, float]] = {}
        self._said: dict[TaskID, float] = {}

    @override
    def add_task(self, *args: Any, **fields: Any) -> TaskID:
        task = super().add_task(*args, **fields)
        self._first[task] = (time.monotonic(), self._tasks[task].completed)
        self._said[task] = time.monotonic()
        return task

    @override
    def start_task(self, task_id: TaskID) -> None:
        """What waited for its turn is timed from here on."""
        if not self._tasks[task_id].started:
            self._first[task_id] = (time.monotonic(), self._tasks[task_id].completed)
            self._said[task_id] = time.monotonic()
        super().start_task(task_id)

    @override
    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._say(self._tasks[task_id])

    @override
    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        self._say(self._tasks[task_id])

    def _say(self, task: Task) -> None:
        now = time.monotonic()
        if now - self._said[task.id] < self._seconds and not task.finished:
            return
        self._said[task.id] = now
        begun, first = self._first[task.id]
        done, total = task.completed - first, task.total or 0
        left = timedelta(seconds=round((now - begun) * (total - task.completed) / done)) if done else None
        text = f"{task.description} {task.completed:.0f}/{total:.0f}  {task.fields.get('note', '')}".rstrip()
        text += "" if left is None or task.finished else f"  {left} left"
        self.console.print(text, soft_wrap=True)


class _LabelColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(visible(task.description))


class _NoteColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(visible(task.fields.get("note", "")))
