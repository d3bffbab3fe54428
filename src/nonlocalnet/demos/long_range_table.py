"""What the demo on videos prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nonlocalnet.demos.long_range_figures import NAMES


def show_results(console: Console, results: dict[str, Any], out: Path, *, seconds: float) -> None:
    """Print the content of a results.json, and the paper's numbers apart from it.

    Args:
        console: Where to.
        results: What `nonlocalnet.demos.long_range.run_long_range_demo` returned.
        out: Its folder.
        seconds: How long it took.
    """
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
    )
    published = results["published_kinetics400"]
    paper = Table(title="Published by the paper, on Kinetics-400 (not run here)", title_justify="left")
    paper.add_column("network")
    paper.add_column("top-1 (%)", justify="right")
    paper.add_column("top-5 (%)", justify="right")
    for name, shown in (("c2d", "C2D ResNet-50"), ("nl_c2d", "NL C2D ResNet-50, 5 blocks")):
        paper.add_row(shown, f"{published[name]['top1']:.1f}", f"{published[name]['top5']:.1f}")
    console.print(paper)
    console.print(
        f"{seconds:.0f} s; pictures and numbers: {out}/results.json, curves.png, look.png; look.html to click on"
    )
