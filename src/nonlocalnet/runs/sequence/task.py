"""One training step and one validation of a network of sequences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from nonlocalnet.block import auxiliary_loss
from nonlocalnet.data.padded import IGNORED
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig
from nonlocalnet.engine.steps import StepTask
from nonlocalnet.engine.unreadable import UnreadableShare
from nonlocalnet.runs.sequence.counts import Counts, SequenceRecord, Sums
from nonlocalnet.runs.sequence.network import parts_of
from nonlocalnet.runs.sequence.sources import Task
from nonlocalnet.system.errors import NonFiniteError


class SequenceTask(StepTask):
    """Trains `model` on batches {"x", "lengths", "target", "replaced", "error"}, as `nonlocalnet.data.padded` has them.

    The loss is the cross-entropy of a class for each sequence or of a tag for each step that is no padding, or the
    squared error of a number, averaged; what the blocks leave beside it (`nonlocalnet.block.auxiliary_loss`) is trained
    on, and in no record.

    Args:
        model: Takes x and lengths, gives what the task says.
        task: "classify", "tag" or "regress".
        num_classes: Classes or tags; None for numbers.
        optim: Optimiser settings.
        schedule: Learning rate over the steps.
        seed: For dropout; what is random in the data has its own.
        start_step: Optimiser steps made before this process began.
        last_good: Describes the newest checkpoint, for the message when a loss is not finite.
        unreadable: Counts what stands in for files that cannot be read; None where there are no files.

    Attributes:
        sums: What the newest validation came to, over all processes.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        task: Task,
        num_classes: int | None,
        optim: OptimConfig,
        schedule: ScheduleConfig,
        seed: int,
        start_step: int,
        last_good: Callable[[], str],
        unreadable: UnreadableShare | None = None,
    ) -> None:
        super().__init__(
            model,
            parts=parts_of(model),
            optim=optim,
            schedule=schedule,
            seed=seed,
            start_step=start_step,
            last_good=last_good,
        )
        self.task: Task = task
        self.num_classes = num_classes or 0
        self.unreadable = unreadable
        self.sums: Sums | None = None
        self._counts = Counts(self.num_classes)

    @override
    def begin_counting(self) -> None:
        """Forget the counts."""
        self._counts = Counts(self.num_classes)

    @override
    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """The loss of one micro-batch."""
        result = self._result(batch)
        loss = self._loss(result, batch["target"])
        beside = auxiliary_loss(self.model)  # what a choice of positions learns from
        self._count(result.detach(), batch["target"], loss.detach())
        self._counts.add_replaced(batch["replaced"])
        if self.unreadable is not None:
            self.unreadable.note(batch["error"])
        return loss if beside is None else loss + beside

    @override
    def step_record(self, *, step: int, lr: float) -> SequenceRecord:
        """The record of a step.

        Raises:
            SoundError: If too many sounds stand in for unreadable ones.
        """
        sums = self._reduced()
        if self.unreadable is not None:
            self.unreadable.add(items=int(sums.sequences), replaced=int(sums.replaced))
        return sums.record(step, "train", lr=lr)

    @override
    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Count the sequences whose `counted` is true; the others only keep processes in step.

        One that cannot be read counts as wrong and has no loss.
        """
        result = self._result(batch)
        readable = torch.tensor([not error for error in batch["error"]], device=result.device)
        seen = batch["counted"] & readable
        if seen.any():
            target = batch["target"][seen]
            loss = self._loss(result[seen], target)
            self._count(result[seen], target, loss)
        self._counts.add_wrong(int((batch["counted"] & ~readable).sum()))

    @override
    def validation_record(self, *, step: int, lr: float) -> SequenceRecord:
        """The record of a validation.

        Raises:
            NonFiniteError: A result is not finite.
        """
        self.sums = self._reduced()
        record = self.sums.record(step, "val", lr=lr)
        if self.sums.units and not math.isfinite(record.loss):
            raise NonFiniteError(f"the loss of the validation is {record.loss}: the network gives no finite numbers")
        return record

    def _result(self, batch: dict[str, Any]) -> Tensor:
        x, lengths = batch["x"], batch["lengths"]
        # Packing costs time, and sequences of one length need none.
        whole = bool((lengths == x.shape[1]).all())
        return self.model(x, None if whole else lengths).float()

    def _loss(self, result: Tensor, target: Tensor) -> Tensor:
        if self.task == "regress":
            return F.mse_loss(result, target)
        if self.task == "tag":
            return F.cross_entropy(result.flatten(0, 1), target.flatten(), ignore_index=IGNORED)
        return F.cross_entropy(result, target)

    def _count(self, result: Tensor, target: Tensor, loss: Tensor) -> None:
        if self.task == "regress":
            self._counts.add_numbers(target, loss)
            return
        true, taken = target.flatten(), result.argmax(dim=-1).flatten()
        kept = true != IGNORED
        self._counts.add_classes(true[kept], taken[kept], loss, sequences=len(target))

    def _reduced(self) -> Sums:
        counted = self._counts.as_tensor(self.device)
        return Sums.of(self.trainer.strategy.reduce(counted, reduce_op="sum").cpu(), self.num_classes)
