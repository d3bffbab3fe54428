"""Saying that the first step compiles the network, and how long that took."""

from __future__ import annotations

import logging
import time
from typing import Any

import lightning.pytorch as pl
from typing_extensions import override

log = logging.getLogger(__name__)


class CompileNotes(pl.Callback):
    """Notes before and after the first step of a network that is compiled: it stands still for a minute or more."""

    def __init__(self) -> None:
        self._started: float | None = None
        self._said = False

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._started is None:
            log.info("the first step compiles the network: that takes a minute or more, and longer for deeper ones")
            self._started = time.perf_counter()

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._started is not None and not self._said:
            log.info("compiled: the first step took %.0f s", time.perf_counter() - self._started)
            self._said = True
