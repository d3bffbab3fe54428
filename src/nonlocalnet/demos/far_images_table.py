"""What the demos on images print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nonlocalnet.demos.far_images import TASKS, Task
from nonlocalnet.demos.far_images_figures import NAMES

_TITLES: dict[Task, str] = {
    "detection": "Measured here: a bar at the left decides the class of discs at the right",
    "keypoints": "Measured here: a flag at one end of a rod decides about its other end",
}


def show_results(task: Task, console: Console, results: dict[str, Any], out: Path, *, seconds: float) -> None:
    """Print the content of a results.json, and the paper's numbers apart from it.

    Args:
        task: Which demo.
        console: Where to.
        results: What `nonlocalnet.demos.far_images.run_far_demo` returned.
        out: Its folder.
        seconds: How long it took.
    """
    measures = list(TASKS[task].measures)
    table = Table(title=_TITLES[task], title_justify="left", show_edge=False)
    for column in ("detector", "params", "sees from\ncolumn", *measures):
        table.add_column(column, justify="left" if column == "detector" else "right")
    for name, row in results["arms"].items():
        cells = [_mean(row[measure]) for measure in measures]
        table.add_row(NAMES[name], f"{row['params']:,}", str(row["receptive_field_columns"][0]), *cells)
    console.print(table)
    left, right = results["cue_columns"]
    local = [row["receptive_field_columns"][0] for name, row in results["arms"].items() if name != "nonlocal"]
    size = results["size"]
    console.print(
        f"What decides is in the columns {left} to {right - 1} of {results['image_width']}. The receptive field of the "
        f"local detectors' answer begins at column {min(local)} or later: they cannot know, and toss a coin. "
        f"{size['seeds']} seeds, {size['steps']} steps each, {size['test_images']} test images.",
    )
    published = Table(
        title="Published by the paper, on COCO val2017 (not run here)", title_justify="left", show_edge=False
    )
    published.add_column("detector")
    kinds = [measure for measure in measures if _key(measure) in results["published_coco"]["baseline"]]
    for kind in kinds:
        published.add_column(kind, justify="right")
    for row in results["published_coco"].values():
        published.add_row(row["recipe"], *(f"{row[_key(kind)]:.1f}" for kind in kinds))
    console.print(published)
    console.print(f"{seconds:.0f} s; numbers and picture: {out}/results.json, detections.png")


def _key(measure: str) -> str:
    return measure.lower().replace(" ", "_")


def _mean(measured: dict[str, Any]) -> str:
    seeds = ", ".join(f"{value:.1f}" for value in measured["seeds"])
    return f"{measured['mean']:.1f} ({seeds})"
