"""Progress over the steps of a whole run, those before a resume included."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from rich.progress import Progress
from typing_extensions import override

from nonlocalnet.engine.steps import StepTask
from nonlocalnet.system.progress import progress_bars


class StepProgress(pl.Callback):
    """Shows steps, loss and the last validation on the first process.

    Args:
        steps: Optimiser steps of the whole run.
        every: Steps between two lines, where there is no terminal to draw a bar in.
    """

    def __init__(self, *, steps: int, every: int) -> None:
        self.steps = steps
        self.every = every
        self._bar: Progress | None = None

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the bar."""
        assert isinstance(pl_module, StepTask)
        if trainer.is_global_zero:
            self._bar = progress_bars(seconds=0)
            self._task = self._bar.add_task("train", total=self.steps, completed=pl_module.start_step)
            self._bar.start()

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move it, or write a line where a row of the logs is due."""
        assert isinstance(pl_module, StepTask)
        step_ends = (batch_idx + 1) % pl_module.optim.accumulate == 0
        if not self._lines or (step_ends and pl_module.steps_done % self.every == 0):
            self._update(pl_module)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the validation."""
        self._update(pl_module)

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Take it down, also when the run failed."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    @property
    def _lines(self) -> bool:
        """Whether lines are written in place of a bar."""
        return self._bar is not None and self._bar.disable

    def _update(self, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, StepTask)
        if self._bar is None:
            return
        record, validated = pl_module.train_record, pl_module.val_record
        note = f"loss {record.loss:.3f}  lr {record.lr:.2g}" if record else ""
        if record and self._lines and record.headline:
            note += f"  {record.headline}"
        if validated:
            note += f"  val {validated.headline}"
        self._bar.update(self._task, completed=pl_module.steps_done, note=note)
