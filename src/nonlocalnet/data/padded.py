"""Sequences of different lengths, as items of a data set and as padded batches.

A batch of two, of 3 and 5 positions, and what a network's key mask leaves out:

    x         a b c . .      lengths  3      target of a class for each sequence      7 2
              a b c d e               5      target of a class for each position      1 1 0 ~ ~
                                                                                      0 1 1 1 0      ~ is IGNORED
"""

from collections.abc import Sequence
from typing import TypedDict

import torch

IGNORED = -100
"""The target of a position that is none, as PyTorch's cross-entropy leaves it out."""


class SequenceItem(TypedDict):
    """One sequence.

    Attributes:
        x: (T,) or (T, C), T at least 1: samples or values in float32, or the int64 numbers of tokens.
        target: int64 () of a class, float32 () of a value, or int64 (T,) of a class for each position.
        index: Position in the data set of the sequence shown.
        replaced: Whether it stands in for one that cannot be read.
        error: Why the sequence first asked for could not be read, naming the file; "" if it could.
    """

    x: torch.Tensor
    target: torch.Tensor
    index: int
    replaced: bool
    error: str


class SequenceBatch(TypedDict):
    """B sequences, each padded at its end to the longest.

    Attributes:
        x: (B, T) or (B, T, C).
        lengths: int64 (B,): how many positions of each are its own.
        target: (B,), or int64 (B, T) with `IGNORED` where a sequence has ended.
        index: int64 (B,).
        replaced: bool (B,).
        error: B texts.
    """

    x: torch.Tensor
    lengths: torch.Tensor
    target: torch.Tensor
    index: torch.Tensor
    replaced: torch.Tensor
    error: list[str]


def item_of(x: torch.Tensor, target: torch.Tensor | int, index: int) -> SequenceItem:
    """An item that could be read."""
    return SequenceItem(x=x, target=torch.as_tensor(target), index=index, replaced=False, error="")


def index_of(key: int | tuple[int, int], size: int) -> int:
    """The item's index in a key of training, (epoch, index), or of a test, the index alone.

    Raises:
        IndexError: It is not in [0, size), so that a loop over the data set ends.
    """
    index = key[1] if isinstance(key, tuple) else key
    if not 0 <= index < size:
        raise IndexError(f"index {index} is out of range: {size} sequences")
    return index


def collate(items: Sequence[SequenceItem], *, padding: float = 0) -> SequenceBatch:
    """A batch of sequences, padded at their ends; for a loader `functools.partial(collate, padding=...)`.

    Args:
        items: At least one; all `x` of one kind.
        padding: What `x` is padded with: the coder's padding for tokens.

    Raises:
        ValueError: There is no item, or a sequence has no position.
    """
    if not items:
        raise ValueError("a batch needs at least one sequence, got none")
    empty = next((item["index"] for item in items if not len(item["x"])), None)
    if empty is not None:
        raise ValueError(f"sequence {empty} has no position; every sequence of a batch needs at least one")
    per_position = items[0]["target"].dim() > 0
    targets = [item["target"] for item in items]
    return SequenceBatch(
        x=_padded([item["x"] for item in items], padding),
        lengths=torch.tensor([len(item["x"]) for item in items]),
        target=_padded(targets, IGNORED) if per_position else torch.stack(targets),
        index=torch.tensor([item["index"] for item in items]),
        replaced=torch.tensor([item["replaced"] for item in items]),
        error=[item["error"] for item in items],
    )


def _padded(rows: Sequence[torch.Tensor], padding: float) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=padding)
