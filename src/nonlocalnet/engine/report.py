"""What a test leaves on disk: scores.csv, summary.json and confusion.png, each whole or absent."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nonlocalnet.engine.files import write_atomically
from nonlocalnet.engine.testing import TestSummary, VideoScores

# Above it the names of classes and the numbers in the cells would overlap.
_MAX_NAMED_CLASSES = 40
_MAX_WRITTEN_CELLS = 12


def write_report(
    out: Path,
    results: list[VideoScores],
    summary: TestSummary,
    *,
    paths: Sequence[str],
    class_names: Sequence[str],
    about: dict[str, Any],
) -> None:
    """Write the three files of a test; summary.json comes last, so that where it stands the others stand.

    Args:
        out: Existing folder.
        results: Scores of each video.
        summary: Of them all.
        paths: Path of each video of the list, by `VideoScores.index`.
        class_names: One name per class.
        about: Plain entries for summary.json: what was tested and how.

    Raises:
        OutputError: If a file cannot be written.
    """
    write_atomically(out / "scores.csv", _scores_csv(results, paths=paths, class_names=class_names))
    write_atomically(out / "confusion.png", confusion_png(summary.confusion, class_names=class_names))
    content = {
        "top1": summary.top1,
        "top5": summary.top5,
        "videos": summary.videos,
        "unreadable": [{"path": paths[r.index], "reason": r.error} for r in results if r.error],
        "per_class": [
            {"class": name, "videos": videos, "top1": 100 * correct / videos if videos else None}
            for name, videos, correct in zip(class_names, summary.class_videos, summary.class_correct, strict=True)
        ],
        **about,
    }
    write_atomically(out / "summary.json", json.dumps(content, indent=2) + "\n")


def confusion_png(confusion: torch.Tensor, *, class_names: Sequence[str]) -> bytes:
    """Draw a confusion matrix: each row is the share in percent of one true class's videos over the predicted classes.

    Args:
        confusion: (classes, classes) counts, row the true class.
        class_names: One name per class; shown for up to 40 classes.

    Returns:
        A PNG file's content.
    """
    classes = len(class_names)
    percent = 100 * confusion.double() / confusion.sum(dim=1, keepdim=True).clamp(min=1)
    side = min(4 + 0.3 * classes, 14)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(percent.numpy(), cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, label="percent of the true class's videos", shrink=0.8)
    axes.set(xlabel="predicted class", ylabel="true class")
    if classes <= _MAX_NAMED_CLASSES:
        axes.set_xticks(range(classes), class_names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(classes), class_names)
    if classes <= _MAX_WRITTEN_CELLS:
        for row in range(classes):
            for column in range(classes):
                share = percent[row, column].item()
                axes.text(
                    column, row, f"{share:.0f}", ha="center", va="center", color="white" if share > 50 else "black"
                )
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()


def _scores_csv(results: list[VideoScores], *, paths: Sequence[str], class_names: Sequence[str]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["path", "label", "predicted", "correct", "error", *(f"score:{name}" for name in class_names)])
    for result in results:
        predicted = result.predicted
        scores = [""] * len(class_names) if result.error else [f"{score:.8g}" for score in result.scores.tolist()]
        correct = int(predicted == result.label)
        shown = "" if predicted is None else predicted
        writer.writerow([paths[result.index], result.label, shown, correct, result.error, *scores])
    return buffer.getvalue()
