"""What a test leaves on disk, each file whole or absent, and what it prints.

out/
    scores.safetensors  every video's scores (`nonlocalnet.runs.video.results.scores`)
    scores.csv          the same to read: path, label and predicted class by number and name, mean score of each class
    confusion.png       where a video has one class
    summary.json        the metrics, over all videos and by class, and what was tested
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nonlocalnet.runs.video.classes import has_published_classes
from nonlocalnet.runs.video.config import METRICS, VideoRecipe
from nonlocalnet.runs.video.results.confusion import confusion_png
from nonlocalnet.runs.video.results.scores import SCORES_FILE, ScoredVideos, pack_scores
from nonlocalnet.runs.video.results.summary import TestSummary
from nonlocalnet.runs.video.score_videos import VideoScores
from nonlocalnet.system.csv_text import rows_as_csv
from nonlocalnet.system.results import write_results

HEADINGS = {key: f"{heading} (%)" for key, heading in METRICS.items()}


def write_report(out: Path, scored: ScoredVideos, summary: TestSummary) -> None:
    """Write the files of a test together, summary.json last.

    Args:
        out: Existing folder.
        scored: Scores of each video.
        summary: What they come to.

    Raises:
        OutputError: If a file cannot be written; then none of them is.
    """
    write_results(out, lambda: _contents(scored, summary))


def _contents(scored: ScoredVideos, summary: TestSummary) -> dict[str, bytes | str]:
    """What each file holds, in the order in which they are written."""
    results, paths, class_names = scored.results, scored.paths, scored.class_names
    drawn = summary.confusion
    about = {
        **summary.metrics,
        **({} if summary.map_by_pooling is None else {"map_by_pooling": summary.map_by_pooling}),
        "videos": summary.videos,
        "unreadable": [
            {"path": path, "reason": result.error} for path, result in zip(paths, results, strict=True) if result.error
        ],
        **({} if summary.arithmetic is None else {"bfloat16": dataclasses.asdict(summary.arithmetic)}),
        "per_class": _per_class(summary, class_names),
        **scored.about,
    }
    return {
        SCORES_FILE: pack_scores(scored),
        "scores.csv": _scores_csv(results, paths=paths, class_names=class_names),
        **({} if drawn is None else {"confusion.png": confusion_png(drawn, class_names=class_names)}),
        "summary.json": json.dumps(about, indent=2) + "\n",
    }


def _per_class(summary: TestSummary, class_names: Sequence[str]) -> list[dict[str, Any]]:
    if summary.class_ap is not None:
        rows = zip(class_names, summary.class_videos, summary.class_ap, strict=True)
        return [{"class": name, "videos": videos, "ap": ap} for name, videos, ap in rows]
    rows = zip(class_names, summary.class_videos, summary.class_correct, strict=True)
    return [
        {"class": name, "videos": videos, "top1": 100 * correct / videos if videos else None}
        for name, videos, correct in rows
    ]


def _scores_csv(results: Sequence[VideoScores], *, paths: Sequence[str], class_names: Sequence[str]) -> str:
    first = ["path", "label", "label_name", "predicted", "predicted_name", "correct", "error"]
    rows: list[list[Any]] = []
    for path, result in zip(paths, results, strict=True):
        predicted = result.predicted
        scores = [""] * len(class_names) if result.error else [f"{score:.8g}" for score in result.mean.tolist()]
        true = [result.label] if isinstance(result.label, int) else result.label.nonzero().flatten().tolist()
        shown = "" if predicted is None else predicted
        label = " ".join(map(str, true))
        # Names hold spaces and commas, so several have another mark between them.
        names = "; ".join(class_names[index] for index in true if 0 <= index < len(class_names))
        name = "" if predicted is None else class_names[predicted]
        rows.append([path, label, names, shown, name, int(predicted in true), result.error, *scores])
    return rows_as_csv([*first, *(f"score:{name}" for name in class_names)], rows)


def quality_name(recipe: VideoRecipe) -> str:
    """What a validation is judged by."""
    return "mAP" if recipe.model.multi_label else "top-1"


def read_summary(content: dict[str, Any]) -> tuple[dict[str, float], int]:
    """Metrics and number of videos of a summary.json.

    Raises:
        KeyError: It is of another kind of run.
    """
    return {key: float(content[key]) for key in METRICS if key in content}, int(content["videos"])


def on_published_data(recipe: VideoRecipe, content: dict[str, Any]) -> bool:
    """Whether a summary.json is of the classes that the recipe's published results are of, unless it does not say."""
    rows = content.get("per_class")
    if not isinstance(rows, list):
        return True
    names = [str(row.get("class")) for row in rows if isinstance(row, dict)]
    return has_published_classes(names, num_classes=len(names), multi_label=recipe.model.multi_label)


def show_test(console: Console, recipe: VideoRecipe, summary: TestSummary, *, compared: bool) -> None:
    """Print what a test came to.

    Args:
        console: Where to.
        recipe: Whose protocol it was.
        summary: What it came to.
        compared: Whether the recipe's published results are a comparison: only for weights that were trained by it, on
            the classes that these are of.
    """
    table = Table(title=f"{recipe.name} on {summary.videos} videos", title_justify="left")
    table.add_column("")
    for key in summary.metrics:
        table.add_column(HEADINGS[key], justify="right")
    table.add_row("measured here", *metric_cells(summary))
    if recipe.published and compared:
        on = "Charades" if recipe.model.multi_label else "Kinetics-400"
        table.add_row(f"published, on {on}", *(f"{recipe.published[key]:.1f}" for key in summary.metrics))
    console.print(table)
    if summary.unreadable:
        console.print(f"{summary.unreadable} videos could not be read and count as wrong; summary.json lists them")
    if summary.arithmetic is not None:
        console.print(str(summary.arithmetic))
    _show_classes(console, summary)


def _show_classes(console: Console, summary: TestSummary) -> None:
    if summary.map_by_pooling is not None and summary.class_ap is not None:
        pooled = ", ".join(f"{name} {value:.2f}%" for name, value in summary.map_by_pooling.items())
        console.print(f"mAP by pooling over the views: {pooled}")
        without = sum(ap is None for ap in summary.class_ap)
        if without:
            console.print(f"{without} classes have no video here and no part in the mean")
        return
    shares = [c / v for c, v in zip(summary.class_correct, summary.class_videos, strict=True) if v]
    console.print(f"mean per-class accuracy over {len(shares)} classes: {100 * sum(shares) / len(shares):.2f}%")


def metric_cells(summary: TestSummary) -> list[str]:
    """The metrics of a test with two decimals, in the order of `TestSummary.metrics`."""
    return [f"{value:.2f}" for value in summary.metrics.values()]
