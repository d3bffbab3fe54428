"""Training: Lightning driven leg by leg from any step to the last.

The run is cut into legs at the validations. Every leg is one Lightning epoch over a loader that holds exactly the leg's
batches, followed by the validation; a resumed run begins with the rest of the leg it died in.

    step  0         val_every        2 val_every      steps
          |-- leg --|V|---- leg ----|V|---- leg ----|V|
                          ^ resumed here: the loader holds steps [start, 2 val_every)
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.warnings import PossibleUserWarning
from torch.utils.data import DataLoader
from typing_extensions import override

from nonlocalnet.engine.checkpoint import AtomicCheckpointIO, Checkpoints
from nonlocalnet.engine.compiling import CompileNotes
from nonlocalnet.engine.config import OptimConfig, TrainerConfig
from nonlocalnet.engine.devices import training_device
from nonlocalnet.engine.file_notes import FileNotes
from nonlocalnet.engine.machine import precision_on
from nonlocalnet.engine.ranks import ending_together
from nonlocalnet.engine.runlog import RunLog, read_records
from nonlocalnet.engine.step_progress import StepProgress
from nonlocalnet.engine.steps import StepRecord, StepTask
from nonlocalnet.engine.stopping import EndAtStep
from nonlocalnet.engine.training_state import require_training_state
from nonlocalnet.system.errors import FileProblem
from nonlocalnet.system.folder_lock import release_folder
from nonlocalnet.system.processes import is_first_process
from nonlocalnet.system.stops import stoppable

_Record = TypeVar("_Record", bound=StepRecord)


class MakeTrainLoader(Protocol):
    """Builds the loader of one leg."""

    def __call__(self, *, start_step: int, stop_step: int, rank: int, world_size: int) -> DataLoader:
        """A loader over the micro-batches of this rank's shares of the global batches [start_step, stop_step)."""
        ...


class MakeValLoader(Protocol):
    """Builds the validation's loader."""

    def __call__(self, *, rank: int, world_size: int) -> DataLoader:
        """A loader over this rank's share of the validation, as many batches on every rank."""
        ...


@dataclass(frozen=True)
class TrainResult(Generic[_Record]):
    """How a run ended.

    Attributes:
        steps: Optimiser steps made in all.
        last: Newest checkpoint.
        best: Checkpoint of the best validation, by its `quality`; None without a validation, or where it is gone.
        best_quality: The quality of that validation, in percent.
        validation: The last validation; None if there was none.
    """

    steps: int
    last: Path
    best: Path | None
    best_quality: float | None
    validation: _Record | None


def run_steps(
    task: StepTask,
    *,
    make_train_loader: MakeTrainLoader,
    make_val_loader: MakeValLoader | None,
    trainer: TrainerConfig,
    checkpoints: Checkpoints,
    record: type[_Record],
    resume_from: Path | None = None,
    progress: bool = True,
    callbacks: Sequence[pl.Callback] = (),
) -> TrainResult[_Record]:
    """Drive a task from its first step to its last, leg by leg.

    Args:
        task: What a step and a validation are.
        make_train_loader: Loader of a leg; see `MakeTrainLoader`.
        make_val_loader: Loader of the validation; None for none.
        trainer: Device, processes, intervals.
        checkpoints: Writes them, in the folder of the run.
        record: What a row of the logs is.
        resume_from: Checkpoint of this run to continue; its content replaces the model's weights.
        progress: Show a progress bar on standard error.
        callbacks: Further Lightning callbacks.

    Returns:
        Where the checkpoints are and what the validation gave.

    Raises:
        ValueError: If `resume_from` does not hold the whole state of this training.
        NonFiniteError: If a loss or weight is not finite; the checkpoints stay those of before.
        OutputError: If the folder of the run cannot be written.
        FileProblem: If a file of the data cannot be used, or too many cannot.
        ProcessError: If another process of the training ended.
        Stopped: If a signal asked for it; a checkpoint of the last step is written where that takes seconds.
    """
    out, steps = checkpoints.last.parent, task.schedule.steps
    if resume_from is not None:
        require_training_state(resume_from, task, sharded=trainer.strategy == "fsdp")
    run_log = RunLog(out, every=trainer.log_every, start_step=task.start_step, record=record)
    loaders = _Legs(make_train_loader, make_val_loader, steps=steps, val_every=trainer.val_every, task=task)
    # A run whose steps are all made may have its last validation before it.
    if task.start_step < steps or resume_from is not None:
        compiling = [CompileNotes()] if trainer.compile else []
        shown = [StepProgress(steps=steps, every=trainer.log_every)] if progress else []
        watching = [run_log, FileNotes(every=trainer.log_every), *shown, *compiling, *callbacks, checkpoints]
        task.train()
        with stoppable() as stops, without_advice():
            end_at_step = EndAtStep(stops, checkpoints, start_step=task.start_step)
            stops.where, stops.speaks = end_at_step.where, stops.speaks and is_first_process()
            lightning = lightning_trainer(
                trainer,
                task.optim,
                out=out,
                steps=max(steps - task.start_step, 0),
                validates=make_val_loader is not None,
                callbacks=[*watching, end_at_step],
            )
            try:
                with stops.postponed(), ending_together(lightning, stops), _problems_of_files():
                    lightning.fit(task, datamodule=loaders, ckpt_path=resume_from)
            finally:
                release_folder(out)
    rows = read_records(run_log.path, record) if run_log.path.exists() else []
    validations = [row for row in rows if row.split == "val"]
    return TrainResult(
        steps=max(steps, task.start_step),
        last=checkpoints.last,
        best=checkpoints.best if validations and checkpoints.best.is_file() else None,
        best_quality=_best_quality(checkpoints, validations),
        validation=validations[-1] if validations else None,
    )


def _best_quality(checkpoints: Checkpoints, validations: Sequence[StepRecord]) -> float | None:
    """By the checkpoints, of which the best one was chosen; by the rows where the run was not begun again."""
    if checkpoints.best_quality is not None:
        return checkpoints.best_quality
    return max((row.quality for row in validations), default=None)


@contextlib.contextmanager
def _problems_of_files() -> Iterator[None]:
    try:
        yield
    except FileProblem as error:
        # From a loader's worker it comes with a traceback as its text; the last line says what is wrong.
        text = str(error).strip().splitlines()[-1]
        raise type(error)(text.partition(f"{type(error).__name__}: ")[2] or text) from error


@contextlib.contextmanager
def without_advice() -> Iterator[None]:
    """Keep Lightning's advertisements, advice on worker counts and one warning about its own code from the user."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)


class _Legs(pl.LightningDataModule):
    """Hands Lightning the loader of the leg that begins where the task stands."""

    def __init__(
        self,
        make_train_loader: MakeTrainLoader,
        make_val_loader: MakeValLoader | None,
        *,
        steps: int,
        val_every: int,
        task: StepTask,
    ) -> None:
        super().__init__()
        self._make_train_loader = make_train_loader
        self._make_val_loader = make_val_loader
        self._steps = steps
        self._val_every = val_every
        self._task = task

    @override
    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        start = self._task.steps_done
        every = self._val_every or self._steps
        stop = min((start // every + 1) * every, self._steps)
        return self._make_train_loader(
            start_step=start, stop_step=stop, rank=self.trainer.global_rank, world_size=self.trainer.world_size
        )

    @override
    def val_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        assert self._make_val_loader is not None
        return self._make_val_loader(rank=self.trainer.global_rank, world_size=self.trainer.world_size)


def lightning_trainer(
    trainer: TrainerConfig, optim: OptimConfig, *, out: Path, steps: int, validates: bool, callbacks: list[pl.Callback]
) -> pl.Trainer:
    """Lightning's trainer with our checkpoints, and none of its own logs, bars and sanity checks."""
    device = training_device(trainer)
    torch.set_float32_matmul_precision(trainer.float32_matmul_precision)
    plugins: list[Any] = [AtomicCheckpointIO()]
    if SLURMEnvironment.detect():
        # Lightning's own requeueing saves in the middle of an accumulation and restores other batches.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    return pl.Trainer(
        accelerator=device.type,
        devices=trainer.devices,
        num_nodes=trainer.num_nodes,
        strategy=trainer.strategy,
        precision=precision_on(device, trainer),
        max_steps=steps,
        max_epochs=-1,
        limit_train_batches=1.0 if steps else 0,
        accumulate_grad_batches=optim.accumulate,
        gradient_clip_val=optim.grad_clip,
        reload_dataloaders_every_n_epochs=1,
        limit_val_batches=1.0 if validates else 0,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=out,
        plugins=plugins,
        callbacks=callbacks,
    )
