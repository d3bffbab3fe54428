"""Checkpoints that are always whole, and when they are written.

A checkpoint is Lightning's dictionary without its loop counters: Lightning's own restart draws other batches in the
middle of an epoch and can repeat a validation. A resumed run starts fresh loops instead, whose loader begins at the
checkpoint's step; `global_step` says which step that is. `last.ckpt` is written after the logs' rows of its step and
after `best.ckpt`: whatever dies in between is repeated identically.
At a validation it is written twice: before it, with the note that it is due, so that whatever the validation ends in
loses no step, and after it. `nonlocalnet.engine.run_folder` lists the other files.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from typing_extensions import override

from nonlocalnet.engine.steps import StepTask
from nonlocalnet.system.errors import NonFiniteError
from nonlocalnet.system.files import write_atomically

VALIDATION_DUE = "validation_due"
"""Entry of a checkpoint: whether the validation of its step has not been made."""


class AtomicCheckpointIO(CheckpointIO):
    """Writes a checkpoint in one piece; reads tensors and plain containers only."""

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write `path`.

        Raises:
            NonFiniteError: If a tensor of the network is not finite; nothing is written then.
            OutputError: If the file cannot be written.
        """
        _require_finite(checkpoint)
        # To memory first: torch's zip writer hides the system's reason when a disk is full.
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer)

    @override
    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read `path` into CPU memory; whatever `weights_only` says, no code of the file is run."""
        return torch.load(path, map_location=map_location or "cpu", weights_only=True)

    @override
    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete `path`."""
        Path(path).unlink(missing_ok=True)


class Checkpoints(pl.Callback):
    """Writes `last.ckpt` every few steps and at a validation, and `best.ckpt` when that one's `quality` rises.

    Args:
        out: Folder of the run.
        every: Steps between two checkpoints.
        extra: Plain entries added to every checkpoint.

    Attributes:
        last_step: Step of the newest checkpoint that was written here; None before the first.
    """

    STATE = ("best_quality", "best_step")
    """What a resumed run must know to choose the same best checkpoint."""

    def __init__(self, out: Path, *, every: int, extra: dict[str, Any]) -> None:
        self.last = out / "last.ckpt"
        self.best = out / "best.ckpt"
        self.every = every
        self.extra = extra
        self.best_quality: float | None = None
        self.best_step: int | None = None
        self.last_step: int | None = None
        self._validation_due = False

    def last_good(self) -> str:
        """The newest checkpoint, for the message when a loss is not finite."""
        return str(self.last) if self.last.exists() else "none yet"

    def write_last(self, trainer: pl.Trainer, task: StepTask) -> None:
        """Write `last.ckpt`; by all processes at once."""
        trainer.save_checkpoint(self.last)
        self.last_step = task.steps_done

    @override
    def state_dict(self) -> dict[str, Any]:
        """The entries of `STATE`."""
        return {name: getattr(self, name) for name in self.STATE}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.best_quality, self.best_step = state_dict["best_quality"], state_dict["best_step"]

    @override
    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Put the extra entries and the true step in, leave Lightning's loop counters out."""
        assert isinstance(pl_module, StepTask)
        del checkpoint["loops"]
        checkpoint["epoch"] = 0
        checkpoint["global_step"] = pl_module.steps_done
        checkpoint[VALIDATION_DUE] = self._validation_due
        checkpoint.update(self.extra)

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Where the validation of the checkpoint's step is due, begin with it; Lightning calls that a sanity check."""
        if checkpoint.get(VALIDATION_DUE, False):
            trainer.num_sanity_val_steps = float("inf")

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a checkpoint if one is due, and always at the end of a leg, whose validation comes now."""
        assert isinstance(pl_module, StepTask)
        step_ends = (batch_idx + 1) % pl_module.optim.accumulate == 0
        leg_ends = batch_idx + 1 == trainer.num_training_batches
        if step_ends and (leg_ends or pl_module.steps_done % self.every == 0):
            self._validation_due = leg_ends and trainer.enable_validation
            self.write_last(trainer, pl_module)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the checkpoints after a validation."""
        assert isinstance(pl_module, StepTask)
        self._validation_due = False
        record = pl_module.val_record
        if record and (self.best_quality is None or record.quality > self.best_quality):
            self.best_quality, self.best_step = record.quality, record.step
            trainer.save_checkpoint(self.best)
        self.write_last(trainer, pl_module)


def _require_finite(checkpoint: dict[str, Any]) -> None:
    for name, tensor in checkpoint["state_dict"].items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            step = checkpoint["global_step"]
            raise NonFiniteError(
                f"tensor {name} holds NaN or infinity after step {step}; "
                "no checkpoint was written for it, and those written before are untouched"
            )
