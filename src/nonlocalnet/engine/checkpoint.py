"""Checkpoints that are always whole, and when they are written.

A checkpoint is Lightning's dictionary without its loop counters: Lightning's own restart draws other batches in the
middle of an epoch and can repeat a validation. A resumed run starts fresh loops instead, whose loader begins at the
checkpoint's step; `global_step` says which step that is. `last.ckpt` is written after the logs' rows of its step and
after `best.ckpt`: whatever dies in between is repeated identically.
`nonlocalnet.engine.run_folder` lists the other files.
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
        write_atomically(Path(path), buffer.getbuffer())

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
    """Writes `last.ckpt` every few steps and after a validation, and `best.ckpt` when that one's `quality` rises.

    Args:
        out: Folder of the run.
        every: Steps between two checkpoints.
        extra: Plain entries added to every checkpoint.
    """

    def __init__(self, out: Path, *, every: int, extra: dict[str, Any]) -> None:
        self.last = out / "last.ckpt"
        self.best = out / "best.ckpt"
        self.every = every
        self.extra = extra
        self.best_quality: float | None = None
        self.best_step: int | None = None

    def last_good(self) -> str:
        """The newest checkpoint, for the message when a loss is not finite."""
        return str(self.last) if self.last.exists() else "none yet"

    @override
    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know to choose the same best checkpoint."""
        return {"best_quality": self.best_quality, "best_step": self.best_step}

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
        checkpoint.update(self.extra)

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a checkpoint if one is due, unless the leg ends here: then it follows the validation."""
        assert isinstance(pl_module, StepTask)
        step_ends = (batch_idx + 1) % pl_module.optim.accumulate == 0
        leg_ends = batch_idx + 1 == trainer.num_training_batches
        if step_ends and not leg_ends and pl_module.steps_done % self.every == 0:
            trainer.save_checkpoint(self.last)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the checkpoint at the end of a leg, after its validation."""
        assert isinstance(pl_module, StepTask)
        record = pl_module.val_record
        new = record is not None and record.step == pl_module.steps_done
        if record and new and (self.best_quality is None or record.quality > self.best_quality):
            self.best_quality, self.best_step = record.quality, record.step
            trainer.save_checkpoint(self.best)
        trainer.save_checkpoint(self.last)


def _require_finite(checkpoint: dict[str, Any]) -> None:
    for name, tensor in checkpoint["state_dict"].items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            step = checkpoint["global_step"]
            raise NonFiniteError(
                f"tensor {name} holds NaN or infinity after step {step}; "
                "no checkpoint was written for it, and those written before are untouched"
            )
