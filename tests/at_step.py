"""A disturbance of a training at a step of its own."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl


class At(pl.Callback):
    """Does something to the network before a step."""

    def __init__(self, step: int, action: Any) -> None:
        self.step, self.action = step, action

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if pl_module.steps_done == self.step:
            self.action(pl_module.model)
