"""What is said of single files during a run: each once, by one process, whichever processes and workers met them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from typing_extensions import override

log = logging.getLogger(__name__)


class FileNotes(pl.Callback):
    """Warns of each unreadable or odd file that the batches tell of ("error" and "note", lists of texts) once.

    One process warns as soon as it meets a file; several tell each other at the rows of the logs and at each
    validation, and the first of them warns.

    Args:
        every: Steps between two exchanges.
    """

    def __init__(self, *, every: int) -> None:
        self.every = every
        self._met: dict[str, None] = {}  # in the order of meeting
        self._said: set[str] = set()

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Collect the texts of a training batch."""
        self._collect(f"unreadable, another takes its place: {text}" for text in _texts(batch, "error"))
        self._collect(_texts(batch, "note"))
        if trainer.world_size == 1 or (batch_idx + 1) % self.every == 0:
            self._say(trainer)

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
        """Collect the texts of a validation batch."""
        self._collect(f"unreadable, counts as wrong: {text}" for text in _texts(batch, "error"))

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Exchange at the end of a leg, after its validation."""
        self._say(trainer)

    def _collect(self, texts: Iterable[str]) -> None:
        self._met.update(dict.fromkeys(text for text in texts if text not in self._said))

    def _say(self, trainer: pl.Trainer) -> None:
        met: list[list[str]] = [list(self._met)]
        if trainer.world_size > 1:
            met *= trainer.world_size
            torch.distributed.all_gather_object(met, list(self._met))
        self._met = {}
        for text in dict.fromkeys(text for texts in met for text in texts):
            if trainer.is_global_zero and text not in self._said:
                log.warning("%s", text)
            self._said.add(text)


def _texts(batch: Any, name: str) -> list[str]:
    """The texts of that name in a batch; none where batches are no mappings."""
    return [text for text in batch.get(name, ()) if text] if isinstance(batch, Mapping) else []
