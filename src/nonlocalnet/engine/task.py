"""One training step and one validation, as Lightning calls them.

Nothing here depends on which leg or resumed run executes a step: the learning rate and the random numbers of step s are
functions of (seed, s), so that a run that was killed repeats exactly what it would have done.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import nn
from typing_extensions import override

from nonlocalnet.engine.config import OptimConfig, ScheduleConfig
from nonlocalnet.engine.errors import NonFiniteError
from nonlocalnet.engine.metrics import topk_correct
from nonlocalnet.engine.optim import build_optimizer, freeze, learning_rate_factor


@dataclass(frozen=True)
class Record:
    """One row of the logs.

    Attributes:
        step: Optimiser steps made, this one included.
        split: "train" or "val".
        loss: Mean cross-entropy over the global batch, or over the validated videos.
        top1: Percent of samples whose class has the highest score.
        top5: Percent of samples whose class is among the five highest scores.
        lr: Learning rate of this step (of the trunk; the groups' factors are not in it).
    """

    step: int
    split: str
    loss: float
    top1: float
    top5: float
    lr: float


# Odd constants that keep the seeds of neighbouring (seed, step, micro-batch, rank) apart; torch hashes the sum again.
_MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)


class ClassifierTask(pl.LightningModule):
    """Trains `model` to classify the clips of batches {"frames", "label"}.

    Args:
        model: Takes prepared frames, gives (B, classes) logits.
        prepare: Turns a batch's frames into the model's input.
        optim: Optimiser settings.
        schedule: Learning rate over the steps.
        seed: Of dropout; augmentation has its own, per sample.
        start_step: Optimiser steps made before this process began.
        last_good: Describes the newest checkpoint, for the message when a loss is not finite.

    Attributes:
        frozen_norms: BatchNorm layers that stay in eval mode.
        train_record: Of the newest step.
        val_record: Of the newest validation.
        replaced: Training clips of this process so far that stood in for an unreadable video.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        prepare: Callable[[torch.Tensor], torch.Tensor],
        optim: OptimConfig,
        schedule: ScheduleConfig,
        seed: int,
        start_step: int,
        last_good: Callable[[], str],
    ) -> None:
        super().__init__()
        self.model = model
        self.prepare = prepare
        self.optim = optim
        self.schedule = schedule
        self.seed = seed
        self.start_step = start_step
        self.last_good = last_good
        self.frozen_norms = freeze(model, optim)
        self.train_record: Record | None = None
        self.val_record: Record | None = None
        self.replaced = torch.zeros((), dtype=torch.int64)
        self._counts = _Counts()
        self._bad_frames = False

    @property
    def steps_done(self) -> int:
        """Optimiser steps made, those before a resume included."""
        return self.start_step + self.trainer.global_step

    @override
    def train(self, mode: bool = True) -> ClassifierTask:
        """Set the mode of all modules; frozen BatchNorm stays in eval mode."""
        super().train(mode)
        for module in self.frozen_norms:
            module.eval()
        return self

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the optimiser; the learning rate of each step is set in `on_before_optimizer_step`."""
        optimizer = build_optimizer(self.model, self.optim)
        self._base_rates = [group["lr"] for group in optimizer.param_groups]
        return optimizer

    @override
    def on_train_start(self) -> None:
        """Put the network into training mode, frozen BatchNorm excepted."""
        self.train()

    @override
    def on_train_batch_start(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Reseed dropout as a function of (seed, step, micro-batch, rank), so that no generator state needs saving."""
        micro_batch = batch_idx % self.optim.accumulate
        if micro_batch == 0:
            self._counts = _Counts()
        key = (self.seed, self.steps_done, micro_batch, self.global_rank)
        torch.manual_seed(sum(part * factor for part, factor in zip(key, _MIX, strict=True)) % 2**63)

    @override
    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        """Mean cross-entropy of one micro-batch."""
        logits = self.model(self.prepare(batch["frames"])).float()
        loss = F.cross_entropy(logits, batch["label"])
        if "replaced" in batch:
            self.replaced = self.replaced.to(self.device) + batch["replaced"].sum()
        self._counts.add(logits.detach(), batch["label"], loss.detach())
        # Videos are bytes; only a float data set can bring NaN, and only there is the look at every value paid for.
        if batch["frames"].is_floating_point() and not torch.isfinite(batch["frames"]).all():
            self._bad_frames = True
        return loss

    @override
    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Refuse a step on a loss that is not finite, on all processes alike; set the step's learning rate.

        Raises:
            NonFiniteError: Before any weight has changed.
        """
        step = self.steps_done
        factor = learning_rate_factor(step, self.schedule)
        for group, rate in zip(optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = rate * factor
        self.train_record = self._record(step + 1, "train", lr=self.optim.lr * factor)
        if not math.isfinite(self.train_record.loss):
            cause = "the frames hold NaN or infinity" if self._bad_frames else "a lower optim.lr or a warm-up may help"
            raise NonFiniteError(
                f"the loss became {self.train_record.loss} at step {step + 1} ({cause}); "
                f"that step was not made; last good checkpoint: {self.last_good()}"
            )

    @override
    def on_validation_epoch_start(self) -> None:
        """Begin counting."""
        self._counts = _Counts()

    @override
    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Count the samples of a batch whose `counted` is true; the others only keep processes in step.

        A sample whose `readable` is false counts as wrong and has no loss.
        """
        logits = self.model(self.prepare(batch["frames"])).float()
        readable = batch["counted"] & batch["readable"]
        if readable.any():
            labels = batch["label"][readable]
            self._counts.add(logits[readable], labels, F.cross_entropy(logits[readable], labels))
        self._counts.add_wrong(int((batch["counted"] & ~batch["readable"]).sum()))

    @override
    def on_validation_epoch_end(self) -> None:
        """Turn the counts into a record."""
        factor = learning_rate_factor(max(self.steps_done - 1, 0), self.schedule)
        self.val_record = self._record(self.steps_done, "val", lr=self.optim.lr * factor)

    def _record(self, step: int, split: str, *, lr: float) -> Record:
        sums = self.trainer.strategy.reduce(self._counts.as_tensor(self.device), reduce_op="sum")
        loss, losses, top1, top5, samples = sums.tolist()
        mean = loss / losses if losses else math.nan
        return Record(step, split, loss=mean, top1=100 * top1 / samples, top5=100 * top5 / samples, lr=lr)


class _Counts:
    """Running sums of (loss, samples with a loss, top-1, top-5, samples)."""

    def __init__(self) -> None:
        self._sums: torch.Tensor | None = None
        self._wrong = 0

    def add(self, logits: torch.Tensor, labels: torch.Tensor, loss: torch.Tensor) -> None:
        top1, top5 = (topk_correct(logits, labels, k=k).sum() for k in (1, 5))
        n = torch.tensor(len(labels), device=loss.device)
        row = torch.stack([value.double() for value in (loss * n, n, top1, top5, n)])
        self._sums = row if self._sums is None else self._sums + row

    def add_wrong(self, samples: int) -> None:
        self._wrong += samples

    def as_tensor(self, device: torch.device) -> torch.Tensor:
        sums = torch.zeros(5, dtype=torch.float64, device=device) if self._sums is None else self._sums.clone()
        sums[4] += self._wrong
        return sums
