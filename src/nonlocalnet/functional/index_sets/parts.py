"""A sum of which a part of the queries is made at a time, and made again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nonlocalnet.functional.softmax_blocks import BLOCK_WEIGHTS

# Weights that are held at a time.
HELD = BLOCK_WEIGHTS


def in_parts(
    some: Callable[..., Tensor], operands: Callable[[slice], tuple[Tensor | None, ...]], count: int, *, step: int
) -> Tensor:
    """`some` of the operands of every part, one after the other along axis 1.

    Args:
        some: The sum of one part.
        operands: What it takes, of a slice of the parts' axis.
        count: The length of that axis, at least 1.
        step: How much of it is a part.
    """
    # Where one part is all, nothing is won; and torch.func knows no checkpoints.
    again = torch.is_grad_enabled() and count > step and not torch._C._are_functorch_transforms_active()
    parts = []
    for begin in range(0, count, step):
        own = operands(slice(begin, min(begin + step, count)))
        parts.append(checkpoint(some, *own, use_reentrant=False, preserve_rng_state=False) if again else some(*own))
    return torch.cat(parts, dim=1)
