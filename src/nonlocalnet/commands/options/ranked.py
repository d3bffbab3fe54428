"""The most probable classes of what was given, a video or a sequence: a table in the terminal, rows of a csv."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from nonlocalnet.runs.sequence.predict import SequencePrediction
from nonlocalnet.runs.video.predict import Prediction

COLUMNS = ("path", "label", "rank", "class", "name", "probability", "error")


def ranked_table(one: Prediction | SequencePrediction, label: str) -> Table:
    """A row a class; `label` is that of a list, empty without."""
    title = one.path + (f" (listed as {label})" if label else "")
    table = Table(title=title, title_justify="left")
    table.add_column("class")
    table.add_column("probability", justify="right")
    for name, score in zip(one.names, one.scores, strict=True):
        table.add_row(name, f"{score:.4f}")
    return table


def ranked_rows(one: Prediction | SequencePrediction, label: str) -> Iterator[tuple[Any, ...]]:
    """A row a class, under `COLUMNS`; one with the error alone where there is one."""
    if one.error:
        yield one.path, label, "", "", "", "", one.error
    for rank, (index, name, score) in enumerate(zip(one.classes, one.names, one.scores, strict=True), start=1):
        yield one.path, label, rank, index, name, f"{score:.8g}", ""
