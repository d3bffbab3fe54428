"""`nonlocalnet demo --task detection|keypoints`: a detector that must see the far edge of the image."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nonlocalnet.commands.options.parsing import make_parser, parse
from nonlocalnet.demos.far_images import SMALLEST, TASKS, FarDemoSize, Task, run_far_demo
from nonlocalnet.demos.far_images_figures import NAMES

_TITLES = {
    "detection": "Measured here: a bar at the left decides the class of discs at the right",
    "keypoints": "Measured here: a flag at one end of a rod decides about its other end",
}


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet demo --task detection|keypoints [--out DIR]`."""
    parser = make_parser(
        "demo",
        "Generate images in COCO's format in which one edge decides about the other, train a small detector without "
        "blocks, with local ones and with non-local ones on the same budget, and test them.",
    )
    parser.add_argument("--task", choices=tuple(TASKS), required=True, help="which demo")
    parser.add_argument("--out", default="demo", help="new or empty folder for images, runs, results and the picture")
    parser.add_argument("--smallest", action="store_true", help="a run of seconds that shows that everything works")
    parser.add_class_arguments(FarDemoSize, as_group=False)
    arguments = parse(parser, argv)
    own = FarDemoSize(**{name: arguments[name] for name in FarDemoSize.__dataclass_fields__})
    logging.getLogger("nonlocalnet").setLevel(logging.WARNING)  # many networks are built; the table says what they are
    task: Task = arguments.task
    began = time.monotonic()
    results = run_far_demo(task, arguments.out, size=SMALLEST if arguments.smallest else own)
    _show(task, results, Path(arguments.out), seconds=time.monotonic() - began)
    return 0


def _show(task: Task, results: dict[str, Any], out: Path, *, seconds: float) -> None:
    console = Console()
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
        highlight=False,
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
    console.print(f"{seconds:.0f} s; numbers and picture: {out}/results.json, detections.png", highlight=False)


def _key(measure: str) -> str:
    return measure.lower().replace(" ", "_")


def _mean(measured: dict[str, Any]) -> str:
    seeds = ", ".join(f"{value:.1f}" for value in measured["seeds"])
    return f"{measured['mean']:.1f} ({seeds})"
