"""What is counted over the sequences of a step or a validation, and the row of the logs that it becomes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nonlocalnet.engine.confusion import confusion_matrix
from nonlocalnet.engine.runlog import read_records


@dataclass(frozen=True)
class SequenceRecord:
    """One row of the logs; what a task does not have is NaN.

    Attributes:
        step: Optimiser steps made, this one included.
        split: "train" or "val".
        loss: Mean cross-entropy or squared error over the global batch, or over what was validated.
        lr: Learning rate of this step (of the recurrence; the groups' factors are not in it).
        accuracy: Percent of sequences whose class, or of steps whose tag, is right.
        f1: Mean over the classes or tags, in percent, of F1, the harmonic mean of precision and recall.
        mse: Mean squared error of numbers.
        r2: Percent of the numbers' variance that is explained: 100 (1 - mse / variance).
    """

    step: int
    split: str
    loss: float
    lr: float
    accuracy: float = math.nan
    f1: float = math.nan
    mse: float = math.nan
    r2: float = math.nan

    @property
    def quality(self) -> float:
        """What a validation is judged by: accuracy, or R2 of numbers."""
        return self.r2 if math.isnan(self.accuracy) else self.accuracy

    @property
    def headline(self) -> str:
        """The validation in a few words."""
        if math.isnan(self.accuracy):
            return f"MSE {self.mse:.4g}  R2 {self.r2:.1f}"
        return f"accuracy {self.accuracy:.1f}  F1 {self.f1:.1f}"


def read_metrics(path: Path) -> list[SequenceRecord]:
    """Rows of the metrics.csv of a run; see `nonlocalnet.engine.runlog.read_records`."""
    return read_records(path, SequenceRecord)


@dataclass(frozen=True)
class Sums:
    """Sums over sequences, of one process or of all.

    Attributes:
        loss: Sum over the units.
        units: Sequences, or steps of tags, that have a loss.
        sequences: How many there are, those that could not be read included.
        replaced: How many stood in for a file that cannot be read.
        wrong: How many could not be read.
        target: Sum of the numbers to be told.
        target_squared: Sum of their squares.
        confusion: int64 (classes, classes), row the true class, column the one taken; (0, 0) for numbers.
    """

    loss: float
    units: float
    sequences: float
    replaced: float
    wrong: float
    target: float
    target_squared: float
    confusion: Tensor

    @classmethod
    def of(cls, values: Tensor, num_classes: int) -> Sums:
        """From `Counts.as_tensor`, on the CPU."""
        loss, units, sequences, replaced, wrong, target, target_squared = values[:_NUMBERS].tolist()
        confusion = values[_NUMBERS:].round().long().reshape(num_classes, num_classes)
        return cls(loss, units, sequences, replaced, wrong, target, target_squared, confusion)

    @property
    def accuracy(self) -> float:
        """Percent that is right; what could not be read is wrong."""
        total = self.confusion.sum().item() + self.wrong
        return 100 * self.confusion.trace().item() / total if total else math.nan

    @property
    def f1(self) -> float:
        """Mean in percent over the classes that are true or taken somewhere."""
        scores = [score for score in self.f1_by_class() if not math.isnan(score)]
        return sum(scores) / len(scores) if scores else math.nan

    @property
    def mse(self) -> float:
        """Mean squared error; that of numbers only."""
        return self.loss / self.units if self.units else math.nan

    @property
    def r2(self) -> float:
        """Percent of the variance that is explained."""
        if not self.units:
            return math.nan
        variance = self.target_squared / self.units - (self.target / self.units) ** 2
        return 100 * (1 - self.mse / variance) if variance > 0 else math.nan

    def f1_by_class(self) -> list[float]:
        """In percent; NaN for a class that is neither true nor taken anywhere."""
        right, both = self.confusion.diagonal(), self.confusion.sum(0) + self.confusion.sum(1)
        pairs = zip(right.tolist(), both.tolist(), strict=True)
        return [200 * hits / total if total else math.nan for hits, total in pairs]

    def record(self, step: int, split: str, *, lr: float) -> SequenceRecord:
        """The row of the logs."""
        loss = self.loss / self.units if self.units else math.nan
        if len(self.confusion):
            return SequenceRecord(step, split, loss, lr, accuracy=self.accuracy, f1=self.f1)
        return SequenceRecord(step, split, loss, lr, mse=self.mse, r2=self.r2)


_NUMBERS = 7  # fields of `Sums` before the last


class Counts:
    """Running `Sums` of one process, kept on its device so that no step waits for them.

    Args:
        num_classes: Classes or tags; 0 for numbers.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self._sums: Tensor | None = None
        self._wrong = 0

    def add_classes(self, true: Tensor, taken: Tensor, loss: Tensor, *, sequences: int) -> None:
        """Count a batch.

        Args:
            true: (N,) classes of sequences or tags of steps.
            taken: (N,) those of the network.
            loss: Their mean loss.
            sequences: In which they stand.
        """
        confusion = confusion_matrix(true, taken, num_classes=self.num_classes).double()
        numbers = torch.stack([loss.double() * len(true), *self._plain(loss, len(true), sequences, 0, 0, 0, 0)])
        self._add(torch.cat([numbers, confusion.flatten()]))

    def add_numbers(self, target: Tensor, loss: Tensor) -> None:
        """Count a batch of numbers (N,) that were to be told, with their mean squared error."""
        n = len(target)
        wide = target.double()
        row = [loss.double() * n, *self._plain(loss, n, n, 0, 0), wide.sum(), wide.square().sum()]
        self._add(torch.stack(row))

    def add_replaced(self, replaced: Tensor) -> None:
        """Count which sequences of a batch stood in for others; the sequences themselves are counted elsewhere."""
        row = torch.zeros(_NUMBERS + self.num_classes**2, dtype=torch.float64, device=replaced.device)
        row[3] = replaced.sum()
        self._add(row)

    def add_wrong(self, sequences: int) -> None:
        """Count sequences that could not be read."""
        self._wrong += sequences

    def as_tensor(self, device: torch.device) -> Tensor:
        """float64: the fields of `Sums` in order, the last of them flattened."""
        size = _NUMBERS + self.num_classes**2
        sums = torch.zeros(size, dtype=torch.float64, device=device) if self._sums is None else self._sums.clone()
        sums[2] += self._wrong
        sums[4] += self._wrong
        return sums

    def _add(self, row: Tensor) -> None:
        self._sums = row if self._sums is None else self._sums + row

    @staticmethod
    def _plain(like: Tensor, *values: float) -> list[Tensor]:
        return [torch.tensor(float(value), dtype=torch.float64, device=like.device) for value in values]
