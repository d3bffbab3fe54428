"""A causal block over a sequence that comes in pieces, and what it keeps between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nonlocalnet.block.layers import BlockLayers
from nonlocalnet.functional.precision import may_meet
from nonlocalnet.functional.streaming import Store, Total, resume_sum, resume_windowed


@dataclass(frozen=True)
class StreamState:
    """What the positions so far have left behind; `NonLocalBlock.step` and its ``initial_state`` go on from it.

    Attributes:
        past: A `Total` of constant size for dot product; a `Store` of the keys for the others, which grows unless the
            block has a window.
        rest: (B, C, r, ...) input whose pooling window is not whole yet, r less than the kernel.
        rest_mask: (B, r, ...) bool, its mask; None: all are kept.
        pooling: The windows that the block's keys are made of, and whether x itself is pooled (`subsample_first`).
    """

    past: Total | Store
    rest: Tensor
    rest_mask: Tensor | None
    pooling: tuple[tuple[int, ...], bool]

    def detach(self) -> StreamState:
        """The same without its history, for truncated backpropagation."""
        return replace(self, past=self.past.detach(), rest=self.rest.detach())


def resumed(
    block: BlockLayers, x: Tensor, state: StreamState | None, key_mask: Tensor | None
) -> tuple[Tensor, StreamState]:
    """Y (B, D, ...) of a piece of a sequence, and what the next piece goes on from.

    Raises:
        ValueError: The state is of another block, batch or map.
    """
    pooling = (block.pooling.kernel, block.subsample_first and block.subsample is not None)
    if state is not None and state.pooling != pooling:
        raise ValueError(
            f"the state is of a block with (pooling windows, subsample_first) = {state.pooling}; this one has {pooling}"
        )
    keys_x, keys_mask, before = _joined(state, x, key_mask)
    phi, g, mask = block.fold_keys(*block.keys_of_whole_windows(keys_x, keys_mask))
    theta, past = block.folding.fold(block.queries(x)), None if state is None else state.past
    how = {**block.sets().own, "key_mask": mask}
    if block.window is None:
        seen = block.seen(x, before=before)
        y, past = resume_sum(block.pairwise, theta, phi, g, past, seen_N=seen, **how)
    else:
        y, past = resume_windowed(
            block.pairwise, theta, phi, g, past, window=block.window, dilation=block.dilation, **how
        )
    # A copy of what is left: a view would hold the whole piece.
    whole = block.pooling.whole_frames(keys_x)
    rest_mask = None if keys_mask is None else keys_mask[:, whole:].clone()
    return block.folding.unfold(y, x), StreamState(past, keys_x[:, :, whole:].clone(), rest_mask, pooling)


def _joined(state: StreamState | None, x: Tensor, key_mask: Tensor | None) -> tuple[Tensor, Tensor | None, int]:
    """What was left over and a new piece: input, mask, and the frames of the first.

    Raises:
        ValueError: The state is of another batch or map.
    """
    if state is None:
        return x, key_mask, 0
    had, has = (tuple(size for axis, size in enumerate(part.shape) if axis != 2) for part in (state.rest, x))
    if had != has:
        raise ValueError(f"the state is of inputs {had} beside time; this piece is of {has}")
    if state.rest.device != x.device or not may_meet(x, state.rest):
        raise ValueError(
            f"the state is of {state.rest.dtype} on {state.rest.device}; this piece is of {x.dtype} on {x.device}"
        )
    rest_mask = state.rest_mask
    if rest_mask is not None or key_mask is not None:
        kept = (torch.ones((len(part), *part.shape[2:]), dtype=torch.bool, device=x.device) for part in (state.rest, x))
        rest_mask, key_mask = (
            all_kept if mask is None else mask for mask, all_kept in zip((rest_mask, key_mask), kept, strict=True)
        )
        key_mask = torch.cat([rest_mask, key_mask], dim=1)
    return torch.cat([state.rest, x], dim=2), key_mask, state.rest.shape[2]
