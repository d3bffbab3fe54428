"""Training a recipe on videos."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import lightning.pytorch as pl

from nonlocalnet import formats
from nonlocalnet.data.pixels.normalise import normalise
from nonlocalnet.engine.checkpoint import Checkpoints
from nonlocalnet.engine.config import require_equal_shares
from nonlocalnet.engine.devices import training_device
from nonlocalnet.engine.machine import settled
from nonlocalnet.engine.resume import FREE_TRAINER_FIELDS, run_to_resume
from nonlocalnet.engine.run_folder import LAST, begin_run, require_free
from nonlocalnet.engine.train import TrainResult, run_steps
from nonlocalnet.formats.inflate import How
from nonlocalnet.models.video.card import VideoCard
from nonlocalnet.models.video.network import VideoResNet
from nonlocalnet.runs.video.card import make_card, read_run
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.data import build_train_loaders, build_val_loader, load_videos
from nonlocalnet.runs.video.network import adapt_network, build_model
from nonlocalnet.runs.video.results.counts import Record
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
    "trainer": FREE_TRAINER_FIELDS | {"recompute"},
}


def train_recipe(
    recipe: VideoRecipe,
    *,
    out: str | Path,
    resume: bool = False,
    init: str | Path | None = None,
    init_inflation: How | None = None,
    init_anyway: bool = False,
    progress: bool = True,
    callbacks: Sequence[pl.Callback] = (),
) -> TrainResult[Record]:
    """Train a recipe.

    Args:
        recipe: The run.
        out: Folder for its files (`nonlocalnet.engine.run_folder` lists them); new or empty, unless resumed.
        resume: Continue the run in `out` from its last checkpoint; from the start where it has none yet.
        init: File whose matching tensors start the network.
        init_inflation: How the kernels of a 2-D ResNet in `init` become kernels over time; None for "average".
        init_anyway: Start from `init` although its numbers mean something else in this network.
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
    require_free(out, resume=resume)
    require_equal_shares(recipe)
    device = training_device(recipe.trainer)
    recipe = settled(recipe, device)
    train_videos = load_videos(recipe, "train")
    val_videos = load_videos(recipe, "val", class_names=train_videos.class_names)
    model = build_model(recipe)
    saved = run_to_resume(recipe, out, read=read_run, free=_FREE_ON_RESUME) if resume else None
    start_step, start = (0, None) if saved is None else (saved.step, saved.start)
    card = make_card(recipe, class_names=train_videos.class_names or val_videos.class_names)
    if start_step == 0 and init is not None:
        start = formats.start_network(
            model,
            init,
            preprocessing=card.preprocessing,
            inflation=init_inflation,
            fresh_classifier=recipe.fresh_classifier,
            anyway=init_anyway,
        ).plain()
    begin_run(out, recipe, resume=resume)
    if start_step == 0 and init is None and recipe.starts_from:
        log.info("%s is meant to start from %s, given with --init; it starts fresh", recipe.name, recipe.starts_from)
    model.card = card = dataclasses.replace(card, start=start)
    sizes = (len(train_videos.entries), len(val_videos.entries))
    log.info("training %s on %s: %d videos, %d to validate", recipe.name, device, *sizes)
    checkpoints = Checkpoints(out, every=recipe.trainer.checkpoint_every, extra={formats.CARD_KEY: card.plain()})
    task = _task(recipe, model, card, start_step=start_step, checkpoints=checkpoints)
    run = run_steps(
        task,
        make_train_loader=build_train_loaders(recipe, train_videos),
        make_val_loader=partial(build_val_loader, recipe, val_videos),
        trainer=recipe.trainer,
        checkpoints=checkpoints,
        record=Record,
        resume_from=out / LAST if start_step else None,
        progress=progress,
        callbacks=callbacks,
    )
    if task.replaced:
        log.warning("%d training clips stood in for videos that could not be read", task.replaced)
    return run


def _task(
    recipe: VideoRecipe, model: VideoResNet, card: VideoCard, *, start_step: int, checkpoints: Checkpoints
) -> ClassifierTask:
    return ClassifierTask(
        adapt_network(model, recipe.trainer),
        prepare=partial(normalise, mean=card.preprocessing.mean, std=card.preprocessing.std),
        optim=recipe.optim,
        schedule=recipe.schedule,
        seed=recipe.trainer.seed,
        start_step=start_step,
        last_good=checkpoints.last_good,
        multi_label=recipe.model.multi_label,
        max_unreadable=recipe.data.max_unreadable,
    )
