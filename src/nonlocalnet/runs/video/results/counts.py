"""What is counted over the samples of a step or a validation, and the row of the logs that it becomes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from nonlocalnet.engine.runlog import read_records
from nonlocalnet.runs.video.results.metrics import topk_correct


@dataclass(frozen=True)
class Record:
    """One row of the logs.

    Attributes:
        step: Optimiser steps made, this one included.
        split: "train" or "val".
        loss: Mean (binary) cross-entropy over the global batch, or over the validated videos.
        top1: Percent of samples whose class, or one of whose classes, has the highest score.
        top5: Percent of samples whose class, or one of whose classes, is among the five highest scores.
        lr: Learning rate of this step (of the trunk; the groups' factors are not in it).
        map: Mean average precision in percent of a validation with several classes a video; else NaN.
    """

    step: int
    split: str
    loss: float
    top1: float
    top5: float
    lr: float
    map: float = math.nan

    @property
    def quality(self) -> float:
        """What a validation is judged by: mAP where videos have several classes, else top-1."""
        return self.top1 if math.isnan(self.map) else self.map

    @property
    def headline(self) -> str:
        """The validation in a few words."""
        plain = math.isnan(self.map)
        return f"top-1 {self.top1:.1f}  top-5 {self.top5:.1f}" if plain else f"mAP {self.map:.1f}"


def read_metrics(path: Path) -> list[Record]:
    """Rows of the metrics.csv of a run; see `nonlocalnet.engine.runlog.read_records`."""
    return read_records(path, Record)


class Sums(NamedTuple):
    """Sums over samples, of one process or of all.

    Attributes:
        loss: Sum over the samples that have a loss.
        losses: How many have one.
        top1: Samples right by `Record.top1`.
        top5: Samples right by `Record.top5`.
        samples: How many there are, those that could not be read included.
        replaced: Samples that stood in for an unreadable video.
    """

    loss: float
    losses: float
    top1: float
    top5: float
    samples: float
    replaced: float

    def record(self, step: int, split: str, *, lr: float) -> Record:
        """The row of the logs."""
        mean = self.loss / self.losses if self.losses else math.nan
        top1, top5 = 100 * self.top1 / self.samples, 100 * self.top5 / self.samples
        return Record(step, split, loss=mean, top1=top1, top5=top5, lr=lr)


class Counts:
    """Running `Sums` of one process, kept on its device so that no step waits for them."""

    def __init__(self) -> None:
        self._sums: torch.Tensor | None = None
        self._wrong = 0

    def add(self, logits: torch.Tensor, labels: torch.Tensor, loss: torch.Tensor) -> None:
        """Count a batch.

        Args:
            logits: (B, classes).
            labels: (B,) class indices, or (B, classes).
            loss: Their mean loss.
        """
        top1, top5 = (topk_correct(logits, labels, k=k).sum() for k in (1, 5))
        n = torch.tensor(len(labels), device=loss.device)
        self._add(torch.stack([value.double() for value in (loss * n, n, top1, top5, n, torch.zeros_like(n))]))

    def add_replaced(self, replaced: torch.Tensor) -> None:
        """Count which samples of a batch stood in for others; the samples themselves are counted by `add`."""
        self._add(torch.stack([replaced.new_zeros((), dtype=torch.float64)] * 5 + [replaced.sum().double()]))

    def add_wrong(self, samples: int) -> None:
        """Count samples that could not be read."""
        self._wrong += samples

    def as_tensor(self, device: torch.device) -> torch.Tensor:
        """The fields of `Sums` in order, float64."""
        sums = torch.zeros(6, dtype=torch.float64, device=device) if self._sums is None else self._sums.clone()
        sums[4] += self._wrong
        return sums

    def _add(self, row: torch.Tensor) -> None:
        self._sums = row if self._sums is None else self._sums + row
