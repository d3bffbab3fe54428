"""The sequence demo's picture: how the error falls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nonlocalnet.demos.arms import Arm
from nonlocalnet.engine.run_folder import METRICS
from nonlocalnet.runs.sequence.config import SequenceRecipe
from nonlocalnet.runs.sequence.counts import read_metrics
from nonlocalnet.system.files import whole_file

_COLOURS = ("#6b7280", "#d1495b", "#edae49", "#00798c")


def draw_curves(arms: Sequence[Arm[SequenceRecipe]], names: Mapping[Any, str], path: Path, *, guess: float) -> None:
    """Draw the validation's mean squared error over the steps, one line a network.

    Args:
        arms: Finished trainings.
        names: What their networks are called.
        path: The PNG to write.
        guess: The error of a network that knows nothing.
    """
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for arm, colour in zip(arms, _COLOURS, strict=True):
        rows = [row for row in read_metrics(arm.run / METRICS) if row.split == "val"]
        axes.plot([row.step for row in rows], [row.mse for row in rows], ".-", color=colour, label=names[arm.name])
    axes.axhline(guess, color="black", linewidth=0.8, linestyle=":")
    axes.annotate("always 1", (0.01, guess), xycoords=("axes fraction", "data"), ha="left", va="top", fontsize=7)
    axes.set(xlabel="step", ylabel="mean squared error of the validation", yscale="log")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=130)
