"""What the test of a detector leaves on disk, each file whole or absent.

out/
    bbox.json, segm.json or keypoints.json   detections in COCO's results format, as its test server takes them
    per_class.csv                            AP of every class
    summary.json                             all figures; written last
"""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.runs.detection.coco_eval import CocoFigures
from nonlocalnet.runs.detection.coco_results import IouType, Results
from nonlocalnet.system.files import write_atomically


def write_detection_report(
    out: Path, figures: dict[IouType, CocoFigures], results: Results, *, labels: Labels, about: dict[str, Any]
) -> None:
    """Write the files of a test.

    Args:
        out: Existing folder.
        figures: Of every kind of result.
        results: The detections.
        labels: Names of the categories.
        about: Plain entries for summary.json: what was tested and how.

    Raises:
        OutputError: If a file cannot be written.
    """
    for iou_type, found in results.items():
        write_atomically(out / f"{iou_type}.json", json.dumps(found))
    write_atomically(out / "per_class.csv", _per_class_csv(figures, labels))
    content = {kind: {name: _plain(value) for name, value in f.figures.items()} for kind, f in figures.items()}
    write_atomically(out / "summary.json", json.dumps({**content, **about}, indent=2) + "\n")


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
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["category_id", "class", *(f"{kind}_AP" for kind in figures)])
    for category, name, values in per_class_rows(figures, labels):
        writer.writerow([category, name, *("" if math.isnan(value) else f"{value:.4f}" for value in values)])
    return buffer.getvalue()


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
