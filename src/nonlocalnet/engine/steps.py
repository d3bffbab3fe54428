"""What every training shares, step by step, as Lightning calls it; what a step computes is the subclass's.

Nothing here depends on which leg or resumed run executes a step: the learning rate and the random numbers of step s are
functions of (seed, s), so that a run that was killed repeats exactly what it would have done.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import lightning.pytorch as pl
import torch
from torch import nn
from typing_extensions import Self, override

from nonlocalnet.engine.config import OptimConfig, ScheduleConfig
from nonlocalnet.engine.optim import Parts, build_optimizer, freeze, learning_rate_factor
from nonlocalnet.system.errors import NonFiniteError

# Odd constants that keep the seeds of neighbouring (seed, step, micro-batch, rank) apart; torch hashes the sum again.
_MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)


class StepRecord(Protocol):
    """One row of the logs: a dataclass of step, split and numbers, which may be NaN."""

    @property
    def step(self) -> int:
        """Optimiser steps made, this one included."""
        ...

    @property
    def split(self) -> str:
        """Either "train" or "val"."""
        ...

    @property
    def loss(self) -> float:
        """Mean over the global batch, or over the validation."""
        ...

    @property
    def lr(self) -> float:
        """Learning rate of this step."""
        ...

    @property
    def quality(self) -> float:
        """What a validation is judged by, in percent; more is better."""
        ...

    @property
    def headline(self) -> str:
        """The validation in a few words, for the progress bar."""
        ...


class StepTask(pl.LightningModule):
    """Trains `model` by stochastic gradient descent, repeatably from any step.

    Args:
        model: The network.
        parts: Its parts that may learn at another rate, or alone.
        optim: Optimiser settings.
        schedule: Learning rate over the steps.
        seed: For whatever is random in the network; augmentation has its own, per sample.
        start_step: Optimiser steps made before this process began.
        last_good: Describes the newest checkpoint, for the message when a loss is not finite.

    Attributes:
        frozen_norms: BatchNorm layers that stay in eval mode.
        train_record: What the newest step came to.
        val_record: What the newest validation came to.
    """

    train_record: StepRecord | None
    val_record: StepRecord | None

    def __init__(
        self,
        model: nn.Module,
        *,
        parts: Parts,
        optim: OptimConfig,
        schedule: ScheduleConfig,
        seed: int,
        start_step: int,
        last_good: Callable[[], str],
    ) -> None:
        super().__init__()
        self.model = model
        self.parts = parts
        self.optim = optim
        self.schedule = schedule
        self.seed = seed
        self.start_step = start_step
        self.last_good = last_good
        self.frozen_norms = freeze(model, optim, parts)
        self.train_record = None
        self.val_record = None

    @abstractmethod
    def begin_counting(self) -> None:
        """Forget what was counted: a step or a validation begins."""

    @abstractmethod
    def step_record(self, *, step: int, lr: float) -> StepRecord:
        """The record of the step whose micro-batches were counted, over all processes."""

    @abstractmethod
    def validation_record(self, *, step: int, lr: float) -> StepRecord:
        """The record of the validation that was counted, over all processes."""

    def likely_cause(self) -> str:
        """Why a loss may not be finite."""
        return "a lower optim.lr or a warm-up may help"

    @property
    def steps_done(self) -> int:
        """Optimiser steps made, those before a resume included."""
        return self.start_step + self.trainer.global_step

    @override
    def train(self, mode: bool = True) -> Self:
        """Set the mode of all modules; frozen BatchNorm stays in eval mode."""
        super().train(mode)
        for module in self.frozen_norms:
            module.eval()
        return self

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the optimiser; the learning rate of each step is set in `on_before_optimizer_step`."""
        optimizer = build_optimizer(self.model, self.optim, self.parts)
        self._base_rates = [group["lr"] for group in optimizer.param_groups]
        return optimizer

    @override
    def on_train_start(self) -> None:
        """Put the network into training mode, frozen BatchNorm excepted."""
        self.train()

    @override
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Reseed as a function of (seed, step, micro-batch, rank), so that no generator state needs saving."""
        micro_batch = batch_idx % self.optim.accumulate
        if micro_batch == 0:
            self.begin_counting()
        key = (self.seed, self.steps_done, micro_batch, self.global_rank)
        torch.manual_seed(sum(part * factor for part, factor in zip(key, _MIX, strict=True)) % 2**63)

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
        self.train_record = self.step_record(step=step + 1, lr=self.optim.lr * factor)
        if not math.isfinite(self.train_record.loss):
            raise NonFiniteError(
                f"the loss became {self.train_record.loss} at step {step + 1} ({self.likely_cause()}); "
                f"that step was not made; last good checkpoint: {self.last_good()}"
            )

    @override
    def on_validation_epoch_start(self) -> None:
        """Begin counting."""
        self.begin_counting()

    @override
    def on_validation_epoch_end(self) -> None:
        """Turn the counts into a record."""
        factor = learning_rate_factor(max(self.steps_done - 1, 0), self.schedule)
        self.val_record = self.validation_record(step=self.steps_done, lr=self.optim.lr * factor)
