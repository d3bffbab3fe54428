"""Trains and tests several small networks side by side, one torch thread each, and tells how far each has come.

Two networks with one thread each finish sooner than one after the other with two threads: at this size the threads of
one network mostly wait for each other.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import lightning.pytorch as pl
import torch
from rich.progress import Progress, TaskID
from typing_extensions import override

from nonlocalnet.engine.config import Recipe
from nonlocalnet.engine.steps import StepTask
from nonlocalnet.runs.kinds import kind_of
from nonlocalnet.system.processes import run_in_processes
from nonlocalnet.system.stops import stoppable

_Recipe = TypeVar("_Recipe", bound=Recipe)


@dataclass(frozen=True)
class Arm(Generic[_Recipe]):
    """One network, trained once.

    Attributes:
        name: The network, such as "nl_c2d"; the same for all seeds.
        recipe: The run, its seed in `recipe.trainer.seed`.
        run: Folder of its training.
        result: Folder of its test.
    """

    name: str
    recipe: _Recipe
    run: Path
    result: Path


def run_arms(arms: Sequence[Arm[Any]], *, progress: Progress) -> list[float]:
    """Train and test every arm.

    Args:
        arms: What to run; as many at once as there are cores.
        progress: A started progress display, which gets one bar per arm.

    Returns:
        The quality of each arm's test by its last checkpoint, in percent: top-1, or mask or keypoint AP.
    """
    bars = [_add_bar(progress, arm) for arm in arms]

    def move(arm: int) -> None:
        progress.start_task(bars[arm])
        progress.advance(bars[arm])

    return run_in_processes(_Arms(tuple(arms)), shares=len(arms), processes=os.cpu_count() or 1, on_item=move)


def _add_bar(progress: Progress, arm: Arm[Any]) -> TaskID:
    label = f"{arm.name}, seed {arm.recipe.trainer.seed}"
    return progress.add_task(label, total=arm.recipe.schedule.steps, start=False)


class _Report(pl.Callback):
    """Calls a function after every step."""

    def __init__(self, on_step: Callable[[], object]) -> None:
        self.on_step = on_step
        self.steps_told = 0

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A step may take several batches."""
        assert isinstance(pl_module, StepTask)
        if pl_module.steps_done > self.steps_told:
            self.steps_told = pl_module.steps_done
            self.on_step()


@dataclass(frozen=True)
class _Arms:
    """The arms as work for several processes, one share each."""

    arms: tuple[Arm[Any], ...]

    def __call__(self, rank: int, *, on_item: Callable[[], object]) -> float:
        arm = self.arms[rank]
        torch.set_num_threads(1)
        logging.getLogger("nonlocalnet").setLevel(logging.WARNING)
        warnings.simplefilter("ignore")
        report = _Report(on_item)
        kind = kind_of(arm.recipe)
        with stoppable() as stops:
            stops.speaks = False  # the process that shows all of them says what stopped the demo
            trained = kind.train.train_recipe(arm.recipe, out=arm.run, progress=False, callbacks=[report])
        return kind.test.test_recipe(arm.recipe, weights=trained.last, out=arm.result, progress=False).quality
