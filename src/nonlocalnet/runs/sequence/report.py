"""What a test of a network of sequences leaves on disk, each file whole or absent, and what it prints.

out/
    per_class.csv   of each class or tag: how often it is true, taken and right, precision, recall and F1
    confusion.csv   how often each class is taken for each
    summary.json    the metrics, and what was tested; written last
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nonlocalnet.runs.sequence.config import METRICS, SequenceRecipe
from nonlocalnet.runs.sequence.counts import Sums
from nonlocalnet.runs.sequence.sources import SOURCES
from nonlocalnet.system.csv_text import rows_as_csv
from nonlocalnet.system.results import write_results

_SHOWN_CLASSES = 60  # of a table on the terminal; per_class.csv has all


@dataclass(frozen=True)
class SequenceSummary:
    """What a test comes to.

    Attributes:
        sums: What was counted.
        class_names: Of the classes or tags; () for numbers.
        items: What the sequences are called.
    """

    sums: Sums
    class_names: tuple[str, ...]
    items: str

    @property
    def metrics(self) -> dict[str, float]:
        """In percent, by the keys of `METRICS`."""
        if not self.class_names:
            return {"r2": self.sums.r2}
        return {"accuracy": self.sums.accuracy, "f1": self.sums.f1}

    @property
    def quality(self) -> float:
        """Accuracy, or R2 of numbers."""
        return next(iter(self.metrics.values()))


def write_sequence_report(out: Path, summary: SequenceSummary, *, about: dict[str, Any]) -> None:
    """Write the files of a test together, summary.json last.

    Args:
        out: Existing folder.
        summary: What it comes to.
        about: Plain entries for summary.json: what was tested and how.

    Raises:
        OutputError: If a file cannot be written; then none of them is.
    """
    write_results(out, lambda: _contents(summary, about))


def _contents(summary: SequenceSummary, about: dict[str, Any]) -> dict[str, str]:
    """What each file holds, in the order in which they are written."""
    sums, names, contents = summary.sums, summary.class_names, dict[str, str]()
    said = {name: _plain(value) for name, value in summary.metrics.items()}
    if names:
        heading = ("class", "true", "taken", "right", "precision", "recall", "f1")
        contents["per_class.csv"] = rows_as_csv(heading, per_class_rows(summary))
        rows = ((name, *row) for name, row in zip(names, sums.confusion.tolist(), strict=True))
        contents["confusion.csv"] = rows_as_csv(("true \\ taken", *names), rows)
    else:
        said["mse"] = _plain(sums.mse)
    said |= {"loss": _plain(sums.loss / sums.units if sums.units else math.nan)}
    said |= {summary.items: int(sums.sequences), "unreadable": int(sums.wrong)}
    return {**contents, "summary.json": json.dumps({**said, **about}, indent=2) + "\n"}


def per_class_rows(summary: SequenceSummary) -> list[tuple[str, int, int, int, str, str, str]]:
    """A row a class that is true or taken somewhere: the columns of per_class.csv, shares in percent."""
    confusion = summary.sums.confusion
    columns = (confusion.sum(1), confusion.sum(0), confusion.diagonal())
    found = []
    counts = zip(*(column.tolist() for column in columns), strict=True)
    for name, (true, taken, right), f1 in zip(summary.class_names, counts, summary.sums.f1_by_class(), strict=True):
        if true or taken:
            found.append((name, true, taken, right, _share(right, taken), _share(right, true), f"{f1:.2f}"))
    return found


def quality_name(recipe: SequenceRecipe) -> str:
    """What a validation is judged by."""
    return "R2" if SOURCES[recipe.data.source].task == "regress" else "accuracy"


def read_summary(content: dict[str, Any]) -> tuple[dict[str, float], int]:
    """Metrics and number of sequences of a summary.json.

    Raises:
        KeyError: It is of another kind of run.
    """
    items = SOURCES[content["recipe"]["data"]["source"]].items
    metrics = {key: float(content[key]) for key in METRICS if content.get(key) is not None}
    return metrics, int(content[items])


def on_published_data(recipe: SequenceRecipe, content: dict[str, Any]) -> bool:
    """Whether a summary.json is of the data that the recipe's published results are of."""
    return content["recipe"]["data"]["source"] == recipe.data.source


def show_test(console: Console, recipe: SequenceRecipe, summary: SequenceSummary, *, compared: bool) -> None:
    """Print what a test came to.

    Args:
        console: Where to.
        recipe: Whose protocol it was.
        summary: What it came to.
        compared: Whether the recipe's published results are a comparison.
    """
    sums = summary.sums
    table = Table(title=f"{recipe.name} on {int(sums.sequences)} {summary.items}", title_justify="left")
    table.add_column("")
    for key in summary.metrics:
        table.add_column(f"{METRICS[key]} (%)", justify="right")
    if not summary.class_names:
        table.add_column("MSE", justify="right")
    cells = [f"{value:.2f}" for value in summary.metrics.values()]
    table.add_row("measured here", *cells, *([] if summary.class_names else [f"{sums.mse:.4g}"]))
    if recipe.published and compared:
        table.add_row("published", *(f"{recipe.published.get(key, math.nan):.1f}" for key in summary.metrics))
    console.print(table)
    if sums.wrong:
        console.print(f"{int(sums.wrong)} {summary.items} could not be read and count as wrong; the log names them")
    rows = per_class_rows(summary) if summary.class_names else []
    if 0 < len(rows) <= _SHOWN_CLASSES:
        console.print(_class_table(rows))


def _class_table(rows: Iterable[Sequence[Any]]) -> Table:
    table = Table(title="of each class (%)", title_justify="left")
    table.add_column("class")
    for name in ("true", "precision", "recall", "F1"):
        table.add_column(name, justify="right")
    for name, true, _, _, precision, recall, f1 in rows:
        table.add_row(str(name), str(true), precision, recall, f1)
    return table


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}" if whole else ""


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
