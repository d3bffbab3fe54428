"""Training a recipe on sequences."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import lightning.pytorch as pl

from nonlocalnet import formats
from nonlocalnet.data.sound.reader import SoundError
from nonlocalnet.engine.checkpoint import Checkpoints
from nonlocalnet.engine.devices import training_device
from nonlocalnet.engine.machine import settled
from nonlocalnet.engine.resume import FREE_TRAINER_FIELDS, run_to_resume
from nonlocalnet.engine.run_folder import LAST, METRICS, begin_run, require_free
from nonlocalnet.engine.train import TrainResult, run_steps
from nonlocalnet.engine.unreadable import UnreadableShare
from nonlocalnet.models.sequence.card import SequenceCard
from nonlocalnet.models.sequence.network import SequenceNetwork
from nonlocalnet.runs.sequence.card import make_card, read_card, read_run
from nonlocalnet.runs.sequence.config import SequenceRecipe
from nonlocalnet.runs.sequence.counts import SequenceRecord, read_metrics
from nonlocalnet.runs.sequence.data import build_loader, build_train_loaders, load_data
from nonlocalnet.runs.sequence.network import arguments_for, build_model
from nonlocalnet.runs.sequence.sources import SOURCES
from nonlocalnet.runs.sequence.start import start_sequence_network
from nonlocalnet.runs.sequence.task import SequenceTask
from nonlocalnet.system.files import write_atomically
from nonlocalnet.system.processes import is_first_process

log = logging.getLogger(__name__)

TRAINING = "training.json"
"""What a whole training came to; beside the files of `nonlocalnet.engine.run_folder`."""
REACHED_MSE = 0.01
"""The mean squared error of which `training.json` says at which step a validation was first below."""

# May differ between a run and its resumption: none of them changes what a training step computes.
_FREE_ON_RESUME = {
    "data": {"root", "val", "test", "num_val", "num_test", "workers", "max_unreadable"},
    "schedule": {"steps"},
    "trainer": FREE_TRAINER_FIELDS,
}


def train_recipe(
    recipe: SequenceRecipe,
    *,
    out: str | Path,
    resume: bool = False,
    init: str | Path | None = None,
    init_anyway: bool = False,
    progress: bool = True,
    callbacks: Sequence[pl.Callback] = (),
) -> TrainResult[SequenceRecord]:
    """Train a recipe on sequences.

    Args:
        recipe: The run.
        out: Folder for its files (`nonlocalnet.engine.run_folder` lists them, and `TRAINING`); new or empty, unless
            resumed.
        resume: Continue the run in `out` from its last checkpoint; from the start where it has none yet.
        init: File whose matching tensors start the network.
        init_anyway: Start from `init` although its numbers mean something else in this network.
        progress: Show a progress bar on standard error.
        callbacks: Further Lightning callbacks.

    Returns:
        Where the checkpoints are and what the validation gave.

    Raises:
        ValueError: A setting, list or file is wrong; the message says which and what to do.
        FileNotFoundError: A list or file does not exist.
        OutputError: `out` cannot be used or written.
        NonFiniteError: A loss or weight is not finite; the checkpoints stay those of before.
        SoundError: Too many sounds cannot be read.
    """
    out = Path(out)
    require_free(out, resume=resume)
    device = training_device(recipe.trainer)
    recipe = settled(recipe, device)
    train = load_data(recipe, "train")
    val = load_data(recipe, "val", known=train.known)
    recipe = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, num_classes=train.num_classes))
    arguments = arguments_for(recipe, train)
    model = build_model(recipe, arguments)
    saved = run_to_resume(recipe, out, read=read_run, free=_FREE_ON_RESUME) if resume else None
    card = make_card(recipe, model.built_from["arguments"] if model.built_from else arguments, train.known)
    start_step, start = (0, None) if saved is None else (saved.step, saved.start)
    if saved is not None:
        _require_same_meaning(card, read_card(out / LAST), source=str(out))
    if start_step == 0 and init is not None:
        start = start_sequence_network(model, init, vocabulary=card.vocabulary, anyway=init_anyway).plain()
    begin_run(out, recipe, resume=resume)
    model.card = card = dataclasses.replace(card, start=start)
    log.info("training %s on %s: %d %s, %d to validate", recipe.name, device, len(train), _items(recipe), len(val))
    checkpoints = Checkpoints(out, every=recipe.trainer.checkpoint_every, extra={formats.CARD_KEY: card.plain()})
    task = _task(recipe, model, start_step=start_step, checkpoints=checkpoints)
    run = run_steps(
        task,
        make_train_loader=build_train_loaders(recipe, train),
        make_val_loader=partial(build_loader, recipe, val, limit=recipe.trainer.limit_val),
        trainer=recipe.trainer,
        checkpoints=checkpoints,
        record=SequenceRecord,
        resume_from=out / LAST if start_step else None,
        progress=progress,
        callbacks=callbacks,
    )
    if task.unreadable is not None and task.unreadable.replaced:
        log.warning("%d training sounds stood in for some that could not be read", task.unreadable.replaced)
    if is_first_process():
        _write_training(out, recipe, run)
    return run


def _task(
    recipe: SequenceRecipe,
    model: SequenceNetwork,
    *,
    start_step: int,
    checkpoints: Checkpoints,
) -> SequenceTask:
    has_files = SOURCES[recipe.data.source].front == "sound" and SOURCES[recipe.data.source].on_disk
    unreadable = UnreadableShare(
        recipe.data.max_unreadable,
        items="training sounds",
        files="others",
        advice="the log names each",
        error=SoundError,
    )
    return SequenceTask(
        model,
        task=model.task,
        num_classes=model.num_classes,
        optim=recipe.optim,
        schedule=recipe.schedule,
        seed=recipe.trainer.seed,
        start_step=start_step,
        last_good=checkpoints.last_good,
        unreadable=unreadable if has_files else None,
    )


def _items(recipe: SequenceRecipe) -> str:
    return SOURCES[recipe.data.source].items


def _require_same_meaning(card: SequenceCard, saved: SequenceCard, *, source: str) -> None:
    """Refuse to go on with other classes or words than the run began with."""
    for name, what in (("class_names", "classes"), ("vocabulary", "words")):
        if getattr(card, name) != getattr(saved, name):
            raise ValueError(
                f"cannot resume {source}: the training data have other {what} now; give the data that it began with, "
                "or start another run with --init"
            )


def _write_training(out: Path, recipe: SequenceRecipe, run: TrainResult[SequenceRecord]) -> None:
    rows = [row for row in read_metrics(out / METRICS) if row.split == "val"] if (out / METRICS).exists() else []
    content = {
        "recipe": recipe.name,
        "seed": recipe.trainer.seed,
        "steps": run.steps,
        "last_validation": None if run.validation is None else _plain(run.validation),
        "best_quality": run.best_quality,
    }
    if SOURCES[recipe.data.source].task == "regress":
        below = next((row.step for row in rows if row.mse < REACHED_MSE), None)
        content |= {"reached_mse": REACHED_MSE, "steps_to_reach_it": below}
    write_atomically(out / TRAINING, json.dumps(content, indent=2) + "\n")


def _plain(record: SequenceRecord) -> dict[str, float | int | str]:
    """Its numbers, without those that it does not have."""
    return {name: value for name, value in vars(record).items() if value == value}  # NaN is not equal to itself
