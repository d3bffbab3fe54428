"""Trains and tests several small networks side by side, one torch thread each, and tells how far each has come.

Two networks with one thread each finish sooner than one after the other with two threads: at this size the threads of
one network mostly wait for each other.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import warnings
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, Generic, TypeVar

import lightning.pytorch as pl
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from typing_extensions import override

from nonlocalnet.engine.config import Recipe
from nonlocalnet.engine.steps import StepTask
from nonlocalnet.runs.detection.config import DetectionRecipe
from nonlocalnet.runs.detection.test import test_detection_recipe, train_detection_recipe
from nonlocalnet.runs.video.test import test_recipe
from nonlocalnet.runs.video.train import train_recipe
from nonlocalnet.system.orphans import end_with_parent

_Recipe = TypeVar("_Recipe", Recipe, DetectionRecipe)


@dataclass(frozen=True)
class Arm(Generic[_Recipe]):
    """One network, trained once.

    Attributes:
        name: Of the network, such as "nl_c2d"; the same for all seeds.
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
        Of each arm by its last checkpoint, in percent: top-1 on its test list, or mask or keypoint AP on its
        validation images.
    """
    context = multiprocessing.get_context("spawn")
    bars = [_add_bar(progress, arm) for arm in arms]
    steps: Queue[tuple[int, int]] = context.Queue()
    workers = min(len(arms), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker, initargs=(steps,)) as pool:
        futures = [pool.submit(_run_arm, i, arm) for i, arm in enumerate(arms)]
        try:
            _follow(futures, steps, bars, progress)
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def arms_progress() -> Progress:
    """A display with a bar per arm."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def _add_bar(progress: Progress, arm: Arm[Any]) -> TaskID:
    label = f"{arm.name}, seed {arm.recipe.trainer.seed}"
    return progress.add_task(label, total=_num_steps(arm.recipe), start=False)


def _num_steps(recipe: Recipe | DetectionRecipe) -> int:
    if isinstance(recipe, DetectionRecipe):
        return recipe.schedule.resolved(batch_size=recipe.optim.batch_size).steps
    return recipe.schedule.steps


def _follow(
    futures: Sequence[Future[float]], steps: Queue[tuple[int, int]], bars: Sequence[TaskID], progress: Progress
) -> None:
    """Move the bars until every arm is done or one has failed."""
    while not all(future.done() for future in futures):
        if any(future.done() and future.exception() is not None for future in futures):
            return
        try:
            index, step = steps.get(timeout=0.5)
        except queue.Empty:
            continue
        progress.start_task(bars[index])
        progress.update(bars[index], completed=step)


class _Report(pl.Callback):
    """Sends the steps made to the process that draws."""

    steps_between_reports = 5

    def __init__(self, index: int, steps: Queue[tuple[int, int]]) -> None:
        self.index = index
        self.steps = steps

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Send the count, now and then."""
        assert isinstance(pl_module, StepTask)
        done = pl_module.steps_done
        if done % self.steps_between_reports == 0 or done == pl_module.schedule.steps:
            self.steps.put((self.index, done))


# The queue of a worker's process, on which it says how far it is: a queue reaches a process only when it starts.
_steps: Queue[tuple[int, int]] | None = None


def _begin_worker(steps: Queue[tuple[int, int]]) -> None:
    global _steps
    _steps = steps
    end_with_parent()


def _run_arm(index: int, arm: Arm[Any]) -> float:
    assert _steps is not None
    torch.set_num_threads(1)
    logging.getLogger("nonlocalnet").setLevel(logging.WARNING)
    warnings.simplefilter("ignore")
    report = _Report(index, _steps)
    recipe: Recipe | DetectionRecipe = arm.recipe
    if isinstance(recipe, DetectionRecipe):
        trained = train_detection_recipe(recipe, out=arm.run, progress=False, callbacks=[report])
        figures, _ = test_detection_recipe(recipe, weights=trained.last, out=arm.result, progress=False)
        return figures["keypoints" if recipe.model.has_keypoints else "segm"].figures["AP"]
    last = train_recipe(recipe, out=arm.run, progress=False, callbacks=[report]).last
    return test_recipe(recipe, weights=last, out=arm.result, progress=False).top1
