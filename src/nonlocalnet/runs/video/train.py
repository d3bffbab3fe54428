"""Training a recipe on videos."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn

from nonlocalnet import formats
from nonlocalnet.data.pixels.normalise import normalise
from nonlocalnet.engine.checkpoint import Checkpoints
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig, require_equal_shares
from nonlocalnet.engine.resume import start_step_of
from nonlocalnet.engine.run_folder import LAST, begin_run
from nonlocalnet.engine.train import MakeTrainLoader, MakeValLoader, TrainResult, run_steps, training_device
from nonlocalnet.formats.inflate import How
from nonlocalnet.formats.initialise import initialise
from nonlocalnet.runs.video.card import make_card, read_run
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.counts import Record
from nonlocalnet.runs.video.data import build_train_loader, build_train_videos, build_val_loader, load_videos
from nonlocalnet.runs.video.network import adapt_network, build_model
from nonlocalnet.runs.video.task import ClassifierTask

log = logging.getLogger(__name__)

# May differ between a run and its resumption: none of them changes what a training step computes.
_FREE_ON_RESUME = {
    "data": {
        "root",
        "val",
        "test",
        "workers",
        "max_unreadable",
        "test_clips",
        "test_positions",
        "test_crops",
        "test_short_side",
        "test_crop",
        "test_pooling",
        "test_batch_views",
    },
    "schedule": {"steps"},
    "trainer": {
        "device",
        "devices",
        "num_nodes",
        "strategy",
        "recompute",
        "val_every",
        "checkpoint_every",
        "log_every",
        "limit_val",
    },
}


def train_recipe(
    recipe: VideoRecipe,
    *,
    out: str | Path,
    resume: bool = False,
    init: str | Path | None = None,
    init_inflation: How = "average",
    progress: bool = True,
    callbacks: Sequence[pl.Callback] = (),
) -> TrainResult[Record]:
    """Train a recipe.

    Args:
        recipe: The run.
        out: Folder for its files (`nonlocalnet.engine.run_folder` lists them); new or empty, unless resumed.
        resume: Continue the run in `out` from its last checkpoint; from the start where it has none yet.
        init: File whose matching tensors start the network.
        init_inflation: How the kernels of a 2-D ResNet in `init` become kernels over time.
        progress: Show a progress bar on standard error.
        callbacks: Further Lightning callbacks.

    Returns:
        Where the checkpoints are and what the validation gave.

    Raises:
        ValueError: A setting, list or file is wrong; the message says which and what to do.
        FileNotFoundError: A list, video or file does not exist.
        OutputError: `out` cannot be used or written.
        NonFiniteError: A loss or weight is not finite; the checkpoints stay those of before.
    """
    out = Path(out)
    require_equal_shares(recipe)
    device = training_device(recipe.trainer)
    train_videos = load_videos(recipe, "train")
    val_videos = load_videos(recipe, "val", class_names=train_videos.class_names)
    model = build_model(recipe)
    start_step = start_step_of(recipe, out, read=read_run, free=_FREE_ON_RESUME) if resume else 0
    if start_step == 0 and init is not None:
        initialise(model, formats.read_tensors(init), source=str(init), inflation=init_inflation)
    begin_run(out, recipe, resume=resume)
    if start_step == 0 and init is None and recipe.starts_from:
        log.info("%s is meant to start from %s, given with --init; it starts fresh", recipe.name, recipe.starts_from)
    card = make_card(recipe, class_names=train_videos.class_names or val_videos.class_names)
    sizes = (len(train_videos.entries), len(val_videos.entries))
    log.info("training %s on %s: %d videos, %d to validate", recipe.name, device, *sizes)
    return train_classifier(
        model,
        make_train_loader=partial(build_train_loader, recipe, build_train_videos(recipe, train_videos)),
        make_val_loader=partial(build_val_loader, recipe, val_videos),
        prepare=partial(normalise, mean=card.preprocessing.mean, std=card.preprocessing.std),
        optim=recipe.optim,
        schedule=recipe.schedule,
        trainer=recipe.trainer,
        out=out,
        extra={formats.CARD_KEY: card.plain()},
        start_step=start_step,
        resume_from=out / LAST if start_step else None,
        multi_label=recipe.model.multi_label,
        max_unreadable=recipe.data.max_unreadable,
        progress=progress,
        callbacks=callbacks,
    )


def train_classifier(
    model: nn.Module,
    *,
    make_train_loader: MakeTrainLoader,
    make_val_loader: MakeValLoader | None,
    prepare: Callable[[torch.Tensor], torch.Tensor],
    optim: OptimConfig,
    schedule: ScheduleConfig,
    trainer: TrainerConfig,
    out: Path,
    extra: dict[str, Any] | None = None,
    start_step: int = 0,
    resume_from: Path | None = None,
    multi_label: bool = False,
    max_unreadable: float = 1.0,
    progress: bool = True,
    callbacks: Sequence[pl.Callback] = (),
) -> TrainResult[Record]:
    """Train `model` in place up to `schedule.steps`.

    Args:
        model: The network; on return it holds the last step's weights.
        make_train_loader: Loader of a leg; see `MakeTrainLoader`.
        make_val_loader: Loader of the validation; None for none.
        prepare: Turns a batch's frames into the model's input.
        optim: Optimiser settings.
        schedule: Number of steps and learning rate.
        trainer: Device, processes, intervals.
        out: Folder of the run. It must be new or empty unless a run is resumed in it.
        extra: Plain entries added to every checkpoint.
        start_step: Step of the checkpoint `resume_from`.
        resume_from: Checkpoint of this run to continue; its content replaces the model's weights.
        multi_label: Whether a video may have several classes; see `ClassifierTask`.
        max_unreadable: Share of training clips that may stand in for videos that cannot be read, in [0, 1].
        progress: Show a progress bar on standard error.
        callbacks: Further Lightning callbacks.

    Returns:
        Where the checkpoints are and what the validation gave.

    Raises:
        NonFiniteError: If a loss or weight is not finite; the checkpoints stay those of before.
        OutputError: If `out` cannot be used or written.
        VideoError: If too many videos cannot be read, in a row or over the run.
    """
    model = adapt_network(model, trainer)
    checkpoints = Checkpoints(out, every=trainer.checkpoint_every, extra=extra or {})
    task = ClassifierTask(
        model,
        prepare=prepare,
        optim=optim,
        schedule=schedule,
        seed=trainer.seed,
        start_step=start_step,
        last_good=lambda: str(checkpoints.last) if checkpoints.last.exists() else "none yet",
        multi_label=multi_label,
        max_unreadable=max_unreadable,
    )
    run = run_steps(
        task,
        make_train_loader=make_train_loader,
        make_val_loader=make_val_loader,
        trainer=trainer,
        checkpoints=checkpoints,
        record=Record,
        resume_from=resume_from,
        progress=progress,
        callbacks=callbacks,
    )
    if task.replaced:
        log.warning("%d training clips stood in for videos that could not be read", task.replaced)
    return run
