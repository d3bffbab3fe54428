"""What the test of a detector leaves on disk, each file whole or absent, and what it prints.

out/
    bbox.json, segm.json or keypoints.json   detections in COCO's results format, as its test server takes them
    per_class.csv                            AP of every class; absent where nothing is annotated
    summary.json                             all figures; written last
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.runs.detection.coco_eval import FIGURES, CocoFigures
from nonlocalnet.runs.detection.coco_results import IouType, Results
from nonlocalnet.runs.detection.config import DetectionRecipe
from nonlocalnet.system.csv_text import rows_as_csv
from nonlocalnet.system.results import write_results

_SHOWN: dict[IouType, str] = {"bbox": "box", "segm": "mask", "keypoints": "keypoint"}
_PLURAL = {"box": "boxes", "mask": "masks", "keypoint": "keypoints"}


class DetectionSummary(NamedTuple):
    """What a test comes to.

    Attributes:
        figures: COCO's figures of every kind of result; none where nothing is annotated.
        labels: The classes that the detector knows.
    """

    figures: dict[IouType, CocoFigures]
    labels: Labels

    @property
    def quality(self) -> float:
        """AP in percent of the keypoints, or of the masks; NaN where nothing is annotated."""
        if not self.figures:
            return math.nan
        return self.figures["keypoints" if "keypoints" in self.figures else "segm"].figures["AP"]


def write_detection_report(
    out: Path, figures: dict[IouType, CocoFigures], results: Results, *, labels: Labels, about: dict[str, Any]
) -> None:
    """Write the files of a test together, summary.json last.

    Args:
        out: Existing folder.
        figures: COCO's figures of every kind of result.
        results: The detections.
        labels: Names of the categories.
        about: Plain entries for summary.json: what was tested and how.

    Raises:
        OutputError: If a file cannot be written; then none of them is.
    """

    def contents() -> dict[str, str]:
        said = {kind: {name: _plain(value) for name, value in f.figures.items()} for kind, f in figures.items()}
        return {
            **{f"{iou_type}.json": json.dumps(found) for iou_type, found in results.items()},
            **({"per_class.csv": _per_class_csv(figures, labels)} if figures else {}),
            "summary.json": json.dumps({**said, **about}, indent=2) + "\n",
        }

    write_results(out, contents)


def per_class_rows(figures: dict[IouType, CocoFigures], labels: Labels) -> list[tuple[int, str, list[float]]]:
    """Category id, name and the AP of every kind, for the categories with annotations."""
    names = {category: labels.names[label] for label, category in labels.category_ids.items()}
    rows = []
    for category in next(iter(figures.values())).per_category:
        values = [f.per_category[category] for f in figures.values()]
        if not all(math.isnan(value) for value in values):
            rows.append((category, names.get(category, str(category)), values))
    return rows


def _per_class_csv(figures: dict[IouType, CocoFigures], labels: Labels) -> str:
    rows = (
        (category, name, *("" if math.isnan(value) else f"{value:.4f}" for value in values))
        for category, name, values in per_class_rows(figures, labels)
    )
    return rows_as_csv(("category_id", "class", *(f"{kind}_AP" for kind in figures)), rows)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def quality_name(recipe: DetectionRecipe) -> str:
    """What a validation is judged by."""
    return "keypoint AP" if recipe.model.has_keypoints else "mask AP"


def read_summary(content: dict[str, Any]) -> tuple[dict[str, float], int]:
    """AP of every kind of result, and number of images, of a summary.json.

    Raises:
        KeyError: It is of another kind of run.
    """
    metrics = {f"{shown}_ap": content[kind]["AP"] for kind, shown in _SHOWN.items() if kind in content}
    return {name: float(value) for name, value in metrics.items() if value is not None}, int(content["images"])


def on_published_data(recipe: DetectionRecipe, content: dict[str, Any]) -> bool:
    """Whether a summary.json is of as many classes as the recipe's published results, unless it does not say."""
    model = content["recipe"].get("model")
    classes = model.get("num_classes") if isinstance(model, dict) else None
    return classes in (None, recipe.model.num_classes)


def show_test(console: Console, recipe: DetectionRecipe, summary: DetectionSummary, *, compared: bool) -> None:
    """Print what a test came to.

    Args:
        console: Where to.
        recipe: Whose protocol it was.
        summary: What it came to.
        compared: Whether the recipe's published results are a comparison: only for weights that were trained by it.
    """
    figures, labels = summary
    if not figures:
        console.print("the images have no annotations: the detections are written, and there are no figures")
        return
    for iou_type, found in figures.items():
        kind = _SHOWN[iou_type]
        published = {name: recipe.published.get(f"{kind}_{name.lower()}") for name in FIGURES[iou_type]}
        beside = compared and any(value is not None for value in published.values())
        table = Table(title=f"{recipe.name}: {_PLURAL[kind]} (%)", title_justify="left")
        table.add_column("")
        table.add_column("measured here", justify="right")
        if beside:
            table.add_column("published, on COCO", justify="right")
        for name in FIGURES[iou_type]:
            shown = published[name]
            table.add_row(name, _cell(found.figures[name]), *(["" if shown is None else f"{shown:.1f}"] * beside))
        console.print(table)
    classes = Table(title="AP of every class (%)", title_justify="left")
    classes.add_column("class")
    for iou_type in figures:
        classes.add_column(_SHOWN[iou_type], justify="right")
    for _, name, values in per_class_rows(figures, labels):
        classes.add_row(name, *map(_cell, values))
    console.print(classes)


def _cell(value: float) -> str:
    return "" if value != value else f"{value:.2f}"  # NaN: nothing of the kind is annotated
