"""A timeline in words: lines to read, JSON and rows of csv."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nonlocalnet.engine.top_classes import top_classes
from nonlocalnet.runs.video.timeline.scoring import ScoredWindow, Timeline

CSV_COLUMNS = ("path", "start_seconds", "end_seconds", "rank", "class", "name", "probability", "error")

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
MOST_IN_A_FIGURE = 12
"""Timelines of one picture, one below the other."""


def clock(seconds: float) -> str:
    """A time as a player shows it, with tenths where they are not 0.

    >>> clock(83), clock(3723.5)
    ('1:23', '1:02:03.5')
    """
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths // 10, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
    return f"{text}.{tenths % 10}" if tenths % 10 else text


def line_of(window: ScoredWindow, class_names: list[str], *, top: int) -> str:
    """A window in one line: its time and its classes."""
    _, names, scores = top_classes(window.scores, class_names, top)
    seen = ", ".join(f"{name} {score:.2f}" for name, score in zip(names, scores, strict=True))
    return f"{clock(window.start):>9} - {clock(window.end):<9} {seen}"


def as_plain(timeline: Timeline, *, top: int) -> dict[str, Any]:
    """A timeline as JSON values, with the most probable classes of each window."""
    windows = []
    for window in timeline.windows:
        classes, names, scores = top_classes(window.scores, timeline.class_names, top)
        times = {"start": round(window.start, 6), "end": round(window.end, 6)}
        windows.append({**times, "classes": classes, "names": names, "scores": scores})
    return {"path": timeline.path, "windows": windows, "error": timeline.error}


def csv_rows(timeline: Timeline, *, top: int) -> Iterator[tuple[Any, ...]]:
    """Rows of `CSV_COLUMNS`, a row a class named; a last one where the video could not be read to its end."""
    for window in timeline.windows:
        ranked = zip(*top_classes(window.scores, timeline.class_names, top), strict=True)
        for rank, (index, name, score) in enumerate(ranked, start=1):
            times = round(window.start, 6), round(window.end, 6)
            yield timeline.path, *times, rank, index, name, f"{score:.8g}", ""
    if timeline.error:
        yield timeline.path, "", "", "", "", "", "", timeline.error
