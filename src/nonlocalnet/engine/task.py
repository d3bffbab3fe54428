"""One training step and one validation, as Lightning calls them.

Nothing here depends on which leg or resumed run executes a step: the learning rate and the random numbers of step s are
functions of (seed, s), so that a run that was killed repeats exactly what it would have done.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import nn
from typing_extensions import override

from nonlocalnet.engine.config import OptimConfig, ScheduleConfig
from nonlocalnet.engine.counts import Counts, Record, Sums
from nonlocalnet.engine.errors import NonFiniteError
from nonlocalnet.engine.metrics import mean_average_precision
from nonlocalnet.engine.optim import build_optimizer, freeze, learning_rate_factor
from nonlocalnet.engine.unreadable import UnreadableShare

# Odd constants that keep the seeds of neighbouring (seed, step, micro-batch, rank) apart; torch hashes the sum again.
_MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5)


class ClassifierTask(pl.LightningModule):
    """Trains `model` to classify the clips of batches {"frames", "label"}.

    A label is a class index; with `multi_label` it is a row of 0 and 1, one number a class, and the loss is the binary
    cross-entropy of a sigmoid per class (the paper on Charades), averaged over the classes.

    Args:
        model: Takes prepared frames, gives (B, classes) logits.
        prepare: Turns a batch's frames into the model's input.
        optim: Optimiser settings.
        schedule: Learning rate over the steps.
        seed: Of dropout; augmentation has its own, per sample.
        start_step: Optimiser steps made before this process began.
        last_good: Describes the newest checkpoint, for the message when a loss is not finite.
        multi_label: Whether a video may have several classes.
        max_unreadable: Share of training clips that may stand in for unreadable videos, in [0, 1].

    Attributes:
        frozen_norms: BatchNorm layers that stay in eval mode.
        train_record: Of the newest step.
        val_record: Of the newest validation.
        replaced: Training clips so far, over all processes, that stood in for an unreadable video.
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
        multi_label: bool = False,
        max_unreadable: float = 1.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.prepare = prepare
        self.optim = optim
        self.schedule = schedule
        self.seed = seed
        self.start_step = start_step
        self.last_good = last_good
        self.multi_label = multi_label
        self.frozen_norms = freeze(model, optim)
        self.train_record: Record | None = None
        self.val_record: Record | None = None
        self._unreadable = UnreadableShare(max_unreadable)
        self._counts = Counts()
        self._validated: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._bad_frames = False

    @property
    def steps_done(self) -> int:
        """Optimiser steps made, those before a resume included."""
        return self.start_step + self.trainer.global_step

    @property
    def replaced(self) -> int:
        """Training clips so far, over all processes, that stood in for an unreadable video."""
        return self._unreadable.replaced

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
            self._counts = Counts()
        key = (self.seed, self.steps_done, micro_batch, self.global_rank)
        torch.manual_seed(sum(part * factor for part, factor in zip(key, _MIX, strict=True)) % 2**63)

    @override
    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        """Mean cross-entropy of one micro-batch."""
        logits = self.model(self.prepare(batch["frames"])).float()
        loss = self._loss(logits, batch["label"])
        self._counts.add(logits.detach(), batch["label"], loss.detach())
        if "replaced" in batch:
            self._counts.add_replaced(batch["replaced"])
            self._unreadable.note(batch["error"])
        # Videos are bytes; only a float data set can bring NaN, and only there is the look at every value paid for.
        if batch["frames"].is_floating_point() and not torch.isfinite(batch["frames"]).all():
            self._bad_frames = True
        return loss

    @override
    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Refuse a step on a loss that is not finite, on all processes alike; set the step's learning rate.

        Raises:
            NonFiniteError: Before any weight has changed.
            VideoError: If too many clips stand in for unreadable videos.
        """
        step = self.steps_done
        factor = learning_rate_factor(step, self.schedule)
        for group, rate in zip(optimizer.param_groups, self._base_rates, strict=True):
            group["lr"] = rate * factor
        sums = self._reduced_counts()
        self._unreadable.add(clips=int(sums.samples), replaced=int(sums.replaced))
        self.train_record = sums.record(step + 1, "train", lr=self.optim.lr * factor)
        if not math.isfinite(self.train_record.loss):
            cause = "the frames hold NaN or infinity" if self._bad_frames else "a lower optim.lr or a warm-up may help"
            raise NonFiniteError(
                f"the loss became {self.train_record.loss} at step {step + 1} ({cause}); "
                f"that step was not made; last good checkpoint: {self.last_good()}"
            )

    @override
    def on_validation_epoch_start(self) -> None:
        """Begin counting."""
        self._counts = Counts()
        self._validated = []

    @override
    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Count the samples of a batch whose `counted` is true; the others only keep processes in step.

        A sample whose `readable` is false counts as wrong and has no loss.
        """
        logits = self.model(self.prepare(batch["frames"])).float()
        readable = batch["counted"] & batch["readable"]
        if readable.any():
            labels = batch["label"][readable]
            self._counts.add(logits[readable], labels, self._loss(logits[readable], labels))
        self._counts.add_wrong(int((batch["counted"] & ~batch["readable"]).sum()))
        if self.multi_label:
            # What is unreadable ranks last; what is not counted has no class either, and changes no precision there.
            scores = logits.masked_fill(~readable[:, None], -math.inf)
            self._validated.append((scores, batch["label"] * batch["counted"][:, None]))

    @override
    def on_validation_epoch_end(self) -> None:
        """Turn the counts into a record."""
        factor = learning_rate_factor(max(self.steps_done - 1, 0), self.schedule)
        record = self._reduced_counts().record(self.steps_done, "val", lr=self.optim.lr * factor)
        self.val_record = replace(record, map=self._validated_map()) if self.multi_label else record

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.multi_label:
            return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
        return F.cross_entropy(logits, labels)

    def _validated_map(self) -> float:
        scores, labels = (torch.cat(parts) for parts in zip(*self._validated, strict=True))
        if self.trainer.world_size > 1:  # as many rows on every process
            scores, labels = (self.all_gather(part).flatten(0, 1) for part in (scores, labels))  # pyright: ignore[reportAttributeAccessIssue]
        return mean_average_precision(scores, labels)

    def _reduced_counts(self) -> Sums:
        return Sums(*self.trainer.strategy.reduce(self._counts.as_tensor(self.device), reduce_op="sum").tolist())
