"""What a causal block keeps between the pieces of a sequence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nonlocalnet.functional.streaming import Store, Total


@dataclass(frozen=True)
class StreamState:
    """What the positions so far have left behind; `NonLocalBlock.step` and its ``initial_state`` go on from it.

    Attributes:
        past: A `Total` of constant size for dot product; a `Store` of the keys for the others, which grows unless the
            block has a window.
        rest: (B, C, r, ...) input whose pooling window is not whole yet, r less than the kernel.
        rest_mask: (B, r, ...) bool, its mask; None: all are kept.
    """

    past: Total | Store
    rest: Tensor
    rest_mask: Tensor | None

    def detach(self) -> StreamState:
        """The same without its history, for truncated backpropagation."""
        return StreamState(self.past.detach(), self.rest.detach(), self.rest_mask)


def joined(state: StreamState | None, x: Tensor, key_mask: Tensor | None) -> tuple[Tensor, Tensor | None, int]:
    """What was left over and a new piece: input, mask, and the frames of the first.

    Raises:
        ValueError: The state is of another batch or map.
    """
    if state is None:
        return x, key_mask, 0
    had, has = (tuple(size for axis, size in enumerate(part.shape) if axis != 2) for part in (state.rest, x))
    if had != has:
        raise ValueError(f"the state is of inputs {had} beside time; this piece is of {has}")
    rest_mask = state.rest_mask
    if rest_mask is not None or key_mask is not None:
        kept = (torch.ones((len(part), *part.shape[2:]), dtype=torch.bool, device=x.device) for part in (state.rest, x))
        rest_mask, key_mask = (
            all_kept if mask is None else mask for mask, all_kept in zip((rest_mask, key_mask), kept, strict=True)
        )
        key_mask = torch.cat([rest_mask, key_mask], dim=1)
    return torch.cat([state.rest, x], dim=2), key_mask, state.rest.shape[2]
