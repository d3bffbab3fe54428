"""A training that was asked to stop: the step at hand is made, its checkpoint written, and all processes end there."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from typing_extensions import override

from nonlocalnet.engine.checkpoint import Checkpoints
from nonlocalnet.engine.steps import StepTask
from nonlocalnet.system.stops import Stopped, Stops


class EndAtStep(pl.Callback):
    """Ends the run after a step where a signal came to any process; it must stand behind all other callbacks.

    Lightning's own handler for SIGTERM talks to the other processes in the middle of whatever they do, which can hang
    for ever, and ends with exit code 0; so ours is put in place of it.

    Args:
        stops: What has been asked of this process.
        checkpoints: Write them.
        start_step: Step of the checkpoint that is resumed; 0 for none.
    """

    def __init__(self, stops: Stops, checkpoints: Checkpoints, *, start_step: int) -> None:
        self._stops = stops
        self._checkpoints = checkpoints
        self._made = start_step
        self._start = start_step

    def where(self) -> str:
        """How far the run is, as a line about its end goes on."""
        written = self._start if self._checkpoints.last_step is None else self._checkpoints.last_step
        begins = "" if written == self._made else f", from step {written}" if written else ", from the beginning"
        return f" at step {self._made}; go on with --resume{begins}"

    @override
    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals from Lightning, where a resumed run begins with a validation."""
        self._stops.install()

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals from Lightning."""
        self._stops.install()

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End here if a step ends and any process was asked to stop.

        Raises:
            Stopped: In all processes alike.
        """
        assert isinstance(pl_module, StepTask)
        if (batch_idx + 1) % pl_module.optim.accumulate:
            return
        self._made = pl_module.steps_done
        asked = self._asked_of_any(trainer)
        if asked:
            if self._checkpoints.last_step != self._made:
                self._checkpoints.write_last(trainer, pl_module)
            raise Stopped(asked)

    @override
    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """End in a validation: its step has its checkpoint, and a resumed run begins with the validation.

        Raises:
            Stopped: In all processes alike.
        """
        asked = self._asked_of_any(trainer)
        if asked:
            raise Stopped(asked)

    def _asked_of_any(self, trainer: pl.Trainer) -> int:
        """The signal that came to this process or another; 0 for none."""
        asked = self._stops.asked or 0
        if trainer.world_size > 1:
            strategy = trainer.strategy
            asked = int(strategy.reduce(torch.tensor(asked, device=strategy.root_device), reduce_op="max"))  # pyright: ignore
            self._stops.asked = asked or None
        return asked
