"""`nonlocalnet demo`: the whole story in minutes, on any laptop."""

from __future__ import annotations

import logging
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nonlocalnet.commands import demo_images
from nonlocalnet.commands.options.parsing import make_parser, parse
from nonlocalnet.demos.far_images import TASKS
from nonlocalnet.demos.long_range import SMALLEST, DemoSize, run_long_range_demo
from nonlocalnet.demos.long_range_figures import NAMES


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet demo [--task TASK] [--out DIR]`."""
    if _task(argv) != "videos":
        return demo_images.main(argv)
    parser = make_parser(
        "demo",
        "Generate videos whose class is a relation far apart in space and time, train a small C2D with and without "
        "non-local blocks on the same budget, and test both.",
    )
    parser.add_argument("--task", choices=("videos", *TASKS), default="videos", help="which demo; each has its --help")
    parser.add_argument("--out", default="demo", help="new or empty folder for videos, runs, results and pictures")
    parser.add_argument("--smallest", action="store_true", help="a run of seconds that shows that everything works")
    parser.add_class_arguments(DemoSize, as_group=False)
    arguments = parse(parser, argv)
    own = DemoSize(**{name: arguments[name] for name in DemoSize.__dataclass_fields__})
    logging.getLogger("nonlocalnet").setLevel(logging.WARNING)  # four networks are built; the table says what they are
    began = time.monotonic()
    results = run_long_range_demo(arguments.out, size=SMALLEST if arguments.smallest else own)
    _show(results, Path(arguments.out), seconds=time.monotonic() - began)
    return 0


def _task(argv: Sequence[str]) -> str:
    early = ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--task", default="videos")
    task = early.parse_known_args(list(argv))[0].task
    if task not in ("videos", *TASKS):
        raise ValueError(f"--task must be one of {', '.join(('videos', *TASKS))}, got {task!r}")
    return task


def _show(results: dict[str, Any], out: Path, *, seconds: float) -> None:
    console = Console()
    size = results["size"]
    measured = Table(title="Measured here, on the generated long-range videos", title_justify="left")
    columns = ("network", "parameters", "multiply-adds", "top-1 (%)", "each seed")
    for column in columns:
        measured.add_column(column, justify="left" if column == "network" else "right")
    for name, shown in NAMES.items():
        row = results[name]
        top1 = row["top1"]
        spread = "" if top1["std"] is None else f" ± {top1['std']:.1f}"
        seeds = ", ".join(f"{value:.1f}" for value in top1["seeds"])
        measured.add_row(shown, f"{row['params']:,}", f"{row['flops']:,}", f"{top1['mean']:.1f}{spread}", seeds)
    console.print(measured)
    console.print(
        f"{size['seeds']} seeds, {size['steps']} steps each, {size['test_videos']} test videos of several views; "
        "± is the standard deviation over the seeds. "
        f"A blind guess scores {results['chance']:.1f}, a coin toss between a video's two candidates "
        f"{results['coin_toss']:.1f}.",
        highlight=False,
    )
    published = results["published_kinetics400"]
    paper = Table(title="Published by the paper, on Kinetics-400 (not run here)", title_justify="left")
    paper.add_column("network")
    paper.add_column("top-1 (%)", justify="right")
    paper.add_column("top-5 (%)", justify="right")
    for name, shown in (("c2d", "C2D ResNet-50"), ("nl_c2d", "NL C2D ResNet-50, 5 blocks")):
        paper.add_row(shown, f"{published[name]['top1']:.1f}", f"{published[name]['top5']:.1f}")
    console.print(paper)
    console.print(f"{seconds:.0f} s; pictures and numbers: {out}/results.json, curves.png, look.png", highlight=False)
