"""What a block asks of its input, refused by name."""

from __future__ import annotations

import torch
from torch import Tensor

from nonlocalnet.block.layers import BlockLayers
from nonlocalnet.block.options import AXES
from nonlocalnet.block.positions import KeyBlocks, LearnedPositions
from nonlocalnet.block.streaming import StreamState
from nonlocalnet.functional.checks import require_tensor
from nonlocalnet.functional.precision import may_meet

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_input(block: BlockLayers, x: Tensor, key_mask: Tensor | None) -> None:
    """Refuse an input, or a mask beside it, that is not of the block's shape.

    Raises:
        ValueError: Naming what was given and what was expected.
    """
    expected = f"(B, {block.channels}, {AXES[block.ndim]})"
    if not isinstance(x, Tensor):
        raise ValueError(f"NonLocalBlock takes one tensor {expected}, got a {type(x).__name__}")
    if x.dim() != block.ndim + 2 or x.shape[1] != block.channels:
        raise ValueError(f"NonLocalBlock takes x of shape {expected}, got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"NonLocalBlock takes floating point x, got {x.dtype}: convert it with x.float()")
    weight = getattr(block.g, "weight", None)  # what stands in the place of g may have none, or one of integers
    if weight is not None and weight.dtype in _DTYPES and not may_meet(x, weight):
        raise ValueError(f"NonLocalBlock has weights of {weight.dtype}, got x of {x.dtype}: convert one of them")
    if any(size == 0 for size in x.shape[2:]):
        raise ValueError(f"NonLocalBlock takes x with at least one position, got {tuple(x.shape)}")
    group_frames = block.temporal_group_frames
    if group_frames is not None and x.shape[2] % group_frames != 0:
        raise ValueError(
            f"temporal_group_frames={group_frames} does not divide the {x.shape[2]} frames of x {tuple(x.shape)}: "
            "give a clip whose frames at this layer are a multiple of it, or another temporal_group_frames"
        )
    if key_mask is None:
        return
    require_tensor("key_mask", key_mask)
    if key_mask.dtype != torch.bool:
        raise ValueError(f"key_mask must be bool (False: left out), got {key_mask.dtype}: use key_mask.bool()")
    if key_mask.shape != (x.shape[0], *x.shape[2:]):
        raise ValueError(
            f"key_mask must be (B, {AXES[block.ndim]}) = {(x.shape[0], *x.shape[2:])} beside x {tuple(x.shape)}, "
            f"got {tuple(key_mask.shape)}"
        )


def check_streams(block: BlockLayers, state: object) -> None:
    """Refuse pieces of a sequence to a block whose sums do not go on from one to the next.

    Raises:
        ValueError: Naming the option that stands in the way, or the state is none.
    """
    if state is not None and not isinstance(state, StreamState):
        raise ValueError(f"initial_state is what a call or step gave before, or None, got {type(state).__name__}")
    if not block.causal:
        raise ValueError("only a causal block goes through a sequence in pieces: make it with causal=True")
    if block.temporal_group_frames is not None:
        raise ValueError(
            f"temporal_group_frames={block.temporal_group_frames}: such a block goes through a clip in its groups, not "
            "in pieces with a state"
        )
    if isinstance(block.subsample, (LearnedPositions, KeyBlocks)):
        raise ValueError(f"subsample={block.subsample!r} chooses among all keys: it does not go on from a state")
