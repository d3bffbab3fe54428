"""How long each sequence of a padded batch is, checked, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nonlocalnet.system.visible import cut

Lengths = Tensor | Sequence[int]


def checked_lengths(lengths: Lengths, *, batch: int, steps: int) -> Tensor:
    """(B,) int64 on the CPU, where packing needs them.

    Args:
        lengths: (B,) integers, the steps of each sequence that are no padding.
        batch: B of the input.
        steps: T of the input.

    Raises:
        ValueError: They are no B integers, or one is not from 1 to T; named.
    """
    try:
        given = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"lengths must be B integers from 1 to T = {steps}, got {cut(repr(lengths))}") from None
    counts = not (given.is_floating_point() or given.is_complex() or given.dtype == torch.bool)
    if not counts and given.numel():  # an empty list has the dtype of its moment
        raise ValueError(f"lengths must be integers, got {given.dtype}; an initial state is given as hx=")
    if given.shape != (batch,):
        raise ValueError(f"lengths must be (B,) = ({batch},), one a sequence, got {tuple(given.shape)}")
    given = given.to("cpu", torch.int64)
    outside = ((given < 1) | (given > steps)).nonzero()
    if len(outside):
        index = int(outside[0])
        raise ValueError(
            f"lengths must be from 1 to T = {steps}, got {int(given[index])} for sequence {index}: leave out sequences "
            "without a step"
        )
    return given


def valid_steps(lengths: Tensor, steps: int, device: torch.device) -> Tensor:
    """(B, T) bool, True where a step is no padding.

    >>> valid_steps(torch.tensor([1, 3]), 3, torch.device("cpu")).tolist()
    [[True, False, False], [True, True, True]]
    """
    return torch.arange(steps, device=device) < lengths.to(device).unsqueeze(1)
