"""The demo on sequences: the adding problem with a GRU alone and with non-local blocks behind it.

Two of 100 numbers are marked, and their sum is asked for (Hochreiter and Schmidhuber 1997). Everything but the block is
equal: data, seed, steps, learning rate. Each network is trained once and tested by its last checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nonlocalnet.demos.adding_figures import draw_curves
from nonlocalnet.demos.arms import Arm, run_arms
from nonlocalnet.engine.run_folder import prepare_output
from nonlocalnet.engine.scaling import scale_to_steps
from nonlocalnet.recipes.sequences import Arm as ArmName
from nonlocalnet.recipes.sequences import adding
from nonlocalnet.runs.sequence.config import SequenceRecipe
from nonlocalnet.system.files import write_atomically
from nonlocalnet.system.progress import progress_bars

ARMS: dict[ArmName, str] = {
    "gru": "GRU",
    "embedded_gaussian": "GRU + embedded Gaussian",
    "dot_product": "GRU + dot product",
    "positions": "GRU + learned positions",
}
"""The arms of `nonlocalnet.recipes.sequences` that run, and what they are called."""
# Bai, Kolter and Koltun, arXiv 1803.01271, Table 1: the adding problem of T = 600, trained until nothing changed.
PUBLISHED = {"LSTM": 0.164, "GRU": 5.3e-5, "TCN": 5.8e-5}
GUESS_MSE = 1 / 6
"""Mean squared error of the constant 1: twice the variance of a number from 0 to 1."""


@dataclass(frozen=True)
class AddingDemoSize:
    """How much the demo does.

    Attributes:
        steps: Optimiser steps of each network.
        length: T, the numbers of a sequence.
        test_sequences: Sequences that are tested.
    """

    steps: int = 600
    length: int = 100
    test_sequences: int = 1000

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if value < (2 if name == "length" else 1):
                raise ValueError(f"{name} must be at least {2 if name == 'length' else 1}, got {value}")


SMALLEST = AddingDemoSize(steps=4, length=20, test_sequences=50)


def run_adding_demo(out: str | Path, *, size: AddingDemoSize) -> dict[str, Any]:
    """Train and test the four networks, and write what they came to.

    Args:
        out: New or empty folder. It receives `runs/`, `tests/`, `results.json` and `curves.png`.
        size: How much to do.

    Returns:
        The content of `results.json`.

    Raises:
        OutputError: If `out` is not empty or cannot be written.
    """
    out = Path(out)
    prepare_output(out, resume=False)
    arms = [
        Arm(name, _demo_recipe(adding(size.length, name), size), out / "runs" / name, out / "tests" / name)
        for name in ARMS
    ]
    with progress_bars() as progress:
        run_arms(arms, progress=progress)
    results = {"arms": {arm.name: _result(arm) for arm in arms}, "guess_mse": GUESS_MSE}
    results |= {"size": dataclasses.asdict(size), "published_adding_t600": PUBLISHED}
    draw_curves(arms, ARMS, out / "curves.png", guess=GUESS_MSE)
    write_atomically(out / "results.json", json.dumps(results, indent=2) + "\n")
    return results


def _demo_recipe(found: SequenceRecipe, size: AddingDemoSize) -> SequenceRecipe:
    if found.model.positions is not None:  # as large a part of the run as the recipe's
        anneal = found.model.positions_anneal_steps * size.steps // found.schedule.steps
        found = dataclasses.replace(found, model=dataclasses.replace(found.model, positions_anneal_steps=anneal))
    return dataclasses.replace(
        found,
        data=dataclasses.replace(found.data, num_test=size.test_sequences),
        schedule=scale_to_steps(found.schedule, size.steps),
        trainer=dataclasses.replace(found.trainer, seed=0, device="cpu"),
    )


def _result(arm: Arm[SequenceRecipe]) -> dict[str, Any]:
    summary = json.loads((arm.result / "summary.json").read_text())
    return {key: summary[key] for key in ("mse", "r2")}
