"""One training step and one validation of a network that classifies videos."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from typing_extensions import override

from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig
from nonlocalnet.engine.steps import StepTask
from nonlocalnet.engine.unreadable import UnreadableShare
from nonlocalnet.runs.video.network import parts_of
from nonlocalnet.runs.video.results.counts import Counts, Record, Sums
from nonlocalnet.runs.video.results.metrics import mean_average_precision


class ClassifierTask(StepTask):
    """Trains `model` to classify the clips of batches {"frames", "label"}.

    A label is a class index; with `multi_label` it is a row of 0 and 1, one number a class, and the loss is the binary
    cross-entropy of a sigmoid per class (the paper on Charades), averaged over the classes.

    Args:
        model: Takes prepared frames, gives (B, classes) logits.
        prepare: Turns a batch's frames into the model's input.
        optim: Optimiser settings.
        schedule: Learning rate over the steps.
        seed: For dropout; augmentation has its own, per sample.
        start_step: Optimiser steps made before this process began.
        last_good: Describes the newest checkpoint, for the message when a loss is not finite.
        multi_label: Whether a video may have several classes.
        max_unreadable: Share of training clips that may stand in for unreadable videos, in [0, 1].

    Attributes:
        frozen_norms: BatchNorm layers that stay in eval mode.
        train_record: What the newest step came to.
        val_record: What the newest validation came to.
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
        super().__init__(
            model,
            parts=parts_of(model),
            optim=optim,
            schedule=schedule,
            seed=seed,
            start_step=start_step,
            last_good=last_good,
        )
        self.prepare = prepare
        self.multi_label = multi_label
        self._unreadable = UnreadableShare(
            max_unreadable,
            items="training clips",
            files="videos",
            advice="`nonlocalnet data check` finds them",
            error=VideoError,
        )
        self._counts = Counts()
        self._validated: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._bad_frames = False

    @property
    def replaced(self) -> int:
        """Training clips so far, over all processes, that stood in for an unreadable video."""
        return self._unreadable.replaced

    @override
    def begin_counting(self) -> None:
        """Forget the counts."""
        self._counts = Counts()
        self._validated = []

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
    def step_record(self, *, step: int, lr: float) -> Record:
        """The record of a step.

        Raises:
            VideoError: If too many clips stand in for unreadable videos.
        """
        sums = self._reduced_counts()
        self._unreadable.add(items=int(sums.samples), replaced=int(sums.replaced))
        return sums.record(step, "train", lr=lr)

    @override
    def likely_cause(self) -> str:
        """Why a loss may not be finite."""
        return "the frames hold NaN or infinity" if self._bad_frames else super().likely_cause()

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
            # An unreadable video ranks last. One that is not counted loses its classes too, and the average precision
            # ignores what ranks last and is of no class.
            scores = logits.masked_fill(~readable[:, None], -math.inf)
            self._validated.append((scores, batch["label"] * batch["counted"][:, None]))

    @override
    def validation_record(self, *, step: int, lr: float) -> Record:
        """The record of a validation."""
        record = self._reduced_counts().record(step, "val", lr=lr)
        return replace(record, map=self._validated_map()) if self.multi_label else record

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
