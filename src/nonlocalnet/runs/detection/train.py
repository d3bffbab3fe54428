"""Training and testing a detector: handed a model and loaders, as `nonlocalnet.engine.train` does for videos."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities.types import STEP_OUTPUT
from rich.progress import Progress
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from typing_extensions import override

from nonlocalnet.engine.checkpoint import Checkpoints
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig
from nonlocalnet.engine.train import (
    MakeTrainLoader,
    MakeValLoader,
    TrainResult,
    lightning_trainer,
    run_steps,
    without_advice,
)
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.runs.detection.coco_eval import CocoFigures
from nonlocalnet.runs.detection.coco_results import IouType, Results
from nonlocalnet.runs.detection.task import DetectionRecord, DetectionTask, EvaluationSet
from nonlocalnet.system.progress import progress_bars

log = logging.getLogger(__name__)


def train_detector(
    model: nn.Module,
    *,
    make_train_loader: MakeTrainLoader,
    make_val_loader: MakeValLoader,
    evaluation: EvaluationSet,
    optim: OptimConfig,
    schedule: ScheduleConfig,
    trainer: TrainerConfig,
    out: Path,
    extra: dict[str, Any] | None = None,
    start_step: int = 0,
    resume_from: Path | None = None,
    progress: bool = True,
    callbacks: Sequence[pl.Callback] = (),
) -> TrainResult[DetectionRecord]:
    """Train a detector in place up to `schedule.steps`, with the guarantees of `nonlocalnet.engine.train.train`.

    Args:
        model: A detector of torchvision's kind.
        make_train_loader: Loader of a leg.
        make_val_loader: Loader of the validation.
        evaluation: What the validation is compared with.
        optim: Optimiser settings.
        schedule: Number of steps and learning rate.
        trainer: Device, processes, intervals.
        out: Folder of the run.
        extra: Plain entries added to every checkpoint.
        start_step: Step of the checkpoint `resume_from`.
        resume_from: Checkpoint of this run to continue.
        progress: Show a progress bar on standard error.
        callbacks: Further Lightning callbacks.

    Returns:
        Where the checkpoints are and what the validation gave.

    Raises:
        ValueError: If a block could never learn; see `require_blocks_that_learn`.
        NonFiniteError: If a loss or weight is not finite; the checkpoints stay those of before.
        OutputError: If `out` cannot be used or written.
        ImageError: If an image cannot be read or does not fit its annotations.
    """
    checkpoints = Checkpoints(out, every=trainer.checkpoint_every, extra=extra or {})
    task = DetectionTask(
        model,
        evaluation=evaluation,
        optim=optim,
        schedule=schedule,
        seed=trainer.seed,
        start_step=start_step,
        last_good=lambda: str(checkpoints.last) if checkpoints.last.exists() else "none yet",
    )
    require_blocks_that_learn(model)
    return run_steps(
        task,
        make_train_loader=make_train_loader,
        make_val_loader=make_val_loader,
        trainer=trainer,
        checkpoints=checkpoints,
        record=DetectionRecord,
        resume_from=resume_from,
        progress=progress,
        callbacks=callbacks,
    )


def require_blocks_that_learn(model: nn.Module) -> None:
    """Refuse a block whose last scale is zero and fixed: nothing behind it would ever get a gradient.

    Raises:
        ValueError: Names the block.
    """
    for path, block in nonlocal_blocks(model).items():
        norm: nn.Module | None = block.norm
        if norm is None:
            continue
        trained = isinstance(norm, _BatchNorm) and norm.affine and norm.weight.requires_grad
        if not trained and not bool(getattr(norm, "weight", None) is not None and norm.weight.any()):  # pyright: ignore
            raise ValueError(
                f"the norm of {path} is fixed at a scale of zero, so the block would never learn: use norm=None, whose "
                "W_z starts at zero and is trained, or a norm that is trained"
            )


def test_detector(
    model: nn.Module,
    *,
    make_loader: MakeValLoader,
    evaluation: EvaluationSet,
    trainer: TrainerConfig,
    out: Path,
    progress: bool = True,  # noqa: PT028  not a test
) -> tuple[dict[IouType, CocoFigures], Results]:
    """Detect on all images and compare with their annotations; every process comes to the same figures.

    Args:
        model: A detector of torchvision's kind.
        make_loader: Loader of a process's share.
        evaluation: What the detections are compared with.
        trainer: Device, processes and precision.
        out: Existing folder.
        progress: Show a progress bar on standard error.

    Returns:
        The figures of every kind of result, and the results.
    """
    task = DetectionTask(
        model,
        evaluation=evaluation,
        optim=OptimConfig(),
        schedule=ScheduleConfig(),
        seed=trainer.seed,
        start_step=0,
        last_good=str,
    )
    with without_advice():
        lightning = lightning_trainer(
            trainer,
            task.optim,
            out=out,
            steps=1,
            validates=True,
            callbacks=[_ImageProgress()] if progress else [],
        )
        loader = _Images(make_loader)
        lightning.validate(task, datamodule=loader, verbose=False)
    return task.figures, task.results


class _Images(pl.LightningDataModule):
    """Hands every process the loader of its share, which it can only make once it knows its number."""

    def __init__(self, make_loader: MakeValLoader) -> None:
        super().__init__()
        self._make_loader = make_loader

    @override
    def val_dataloader(self) -> Any:
        assert self.trainer is not None
        return self._make_loader(rank=self.trainer.global_rank, world_size=self.trainer.world_size)


class _ImageProgress(pl.Callback):
    """A bar over the first process's images."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self._bar = progress_bars()
            total = sum(int(batches) for batches in trainer.num_val_batches)
            self._task = self._bar.add_task("test", total=total)
            self._bar.start()

    @override
    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: STEP_OUTPUT,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._bar is not None:
            self._bar.advance(self._task)

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
