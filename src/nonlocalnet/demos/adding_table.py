"""What the demo on sequences prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nonlocalnet.demos.adding import ARMS


def show_results(console: Console, results: dict[str, Any], out: Path, *, seconds: float) -> None:
    """Print the content of a results.json, and published numbers apart from it.

    Args:
        console: Where to.
        results: What `nonlocalnet.demos.adding.run_adding_demo` returned.
        out: Its folder.
        seconds: How long it took.
    """
    size = results["size"]
    measured = Table(title=f"Measured here, on the adding problem of T = {size['length']}", title_justify="left")
    for column in ("network", "mean squared error", "share of the variance explained (%)"):
        measured.add_column(column, justify="left" if column == "network" else "right")
    for name, shown in ARMS.items():
        row = results["arms"][name]
        measured.add_row(shown, f"{row['mse']:.2g}", f"{row['r2']:.1f}")
    console.print(measured)
    console.print(
        f"One seed, {size['steps']} steps each, {size['test_sequences']} test sequences. Always answering 1 has an "
        f"error of {results['guess_mse']:.3f}.",
    )
    published = Table(title="Published (not run here)", title_justify="left")
    published.add_column("network")
    published.add_column("mean squared error", justify="right")
    for name, value in results["published_adding_t600"].items():
        published.add_row(name, f"{value:.2g}")
    console.print(published)
    console.print("Bai et al., arXiv 1803.01271, Table 1: T = 600, trained until nothing changed.")
    console.print(f"{seconds:.0f} s; picture and numbers: {out}/results.json, curves.png")
