"""A validation without a training: what a test is, on one process or several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities.types import STEP_OUTPUT
from rich.progress import Progress
from typing_extensions import override

from nonlocalnet.engine.config import TrainerConfig
from nonlocalnet.engine.ranks import ending_together
from nonlocalnet.engine.steps import StepTask
from nonlocalnet.engine.train import MakeValLoader, lightning_trainer, without_advice
from nonlocalnet.system.progress import progress_bars
from nonlocalnet.system.stops import stoppable


def validate_once(
    task: StepTask, *, make_loader: MakeValLoader, trainer: TrainerConfig, out: Path, progress: bool = True
) -> None:
    """Run a task's validation; what it came to stands in the task, the same in every process.

    Args:
        task: What a validation is.
        make_loader: Loader of a process's share.
        trainer: Device, processes and precision.
        out: Existing folder.
        progress: Show a progress bar on standard error.
    """
    with without_advice():
        lightning = lightning_trainer(
            trainer,
            task.optim,
            out=out,
            steps=1,
            validates=True,
            callbacks=[_Progress()] if progress else [],
        )
        loader = _Share(make_loader)
        with stoppable() as stops, ending_together(lightning, stops):
            lightning.validate(task, datamodule=loader, verbose=False)


class _Share(pl.LightningDataModule):
    """Hands every process the loader of its share, which it can only make once it knows its number."""

    def __init__(self, make_loader: MakeValLoader) -> None:
        super().__init__()
        self._make_loader = make_loader

    @override
    def val_dataloader(self) -> Any:
        assert self.trainer is not None
        return self._make_loader(rank=self.trainer.global_rank, world_size=self.trainer.world_size)


class _Progress(pl.Callback):
    """A bar over the first process's batches."""

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
