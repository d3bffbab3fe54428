"""A sum of which a part of the queries is made at a time, and made again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nonlocalnet.functional.softmax_blocks import BLOCK_WEIGHTS

# Weights that are held at a time.
HELD = BLOCK_WEIGHTS


def in_parts(
    some: Callable[..., Tensor], cut: Sequence[Tensor], whole: Sequence[Tensor | None] = (), *, step: int
) -> Tensor:
    """`some` of every part of the operands, one after the other along axis 1.

    Args:
        some: The sum of one part: takes its part of each of `cut`, then all of `whole`.
        cut: Operands with the parts' axis as axis 1, at least 1 long.
        whole: Operands that every part takes whole.
        step: How much of the axis is a part.
    """
    # Where one part is all, nothing is won; and torch.func knows no checkpoints.
    again = torch.is_grad_enabled() and cut[0].shape[1] > step and not torch._C._are_functorch_transforms_active()
    sums = []
    # Split, not sliced: the gradient of a slice is as large as what it was cut from, once for every part.
    for own in zip(*(operand.split(step, dim=1) for operand in cut), strict=True):
        given = (*own, *whole)
        sums.append(checkpoint(some, *given, use_reentrant=False, preserve_rng_state=False) if again else some(*given))
    return torch.cat(sums, dim=1)
