"""What processes run in `test_parallel.py`: a block on their parts of a map against one process's whole."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from nonlocalnet import NonLocalBlock
from nonlocalnet.block import KeyBlocks, LearnedPositions
from nonlocalnet.functional import PAIRWISE, SequenceParallel
from nonlocalnet.functional.pairwise import row_of
from processes import refused

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}

# A part that is shorter than the kernel stands last, and one that is left over in part.
SEQUENCES: tuple[dict[str, Any], ...] = (
    {"ndim": 1, "norm": "batch"},
    {"ndim": 1, "norm": None, "subsample": (2,)},
    {"ndim": 1, "norm": "layer", "subsample": (2,), "causal": True},
    {"ndim": 1, "norm": None, "subsample": (64,)},  # longer than all parts: not pooled
    {"ndim": 1, "norm": None, "subsample": (64,), "causal": True},  # the same: no key
)
CLIPS: tuple[dict[str, Any], ...] = (
    {"norm": "batch", "subsample": 2},
    {"norm": "layer", "subsample": (2, 2, 2), "causal": True},
    {"norm": "batch", "domain": "time", "subsample": (2, 1, 1)},
    {"norm": "batch", "domain": "space"},
    {"norm": None, "temporal_group_frames": 2, "subsample": (2, 1, 1), "subsample_first": True},
)


def frames_of(options: dict[str, Any]) -> list[int]:
    world = dist.get_world_size()
    last = [5, 1, 3][world - 2]  # the last part: a rest, shorter than the kernel of 2, a rest
    return [*[6, 4, 2][: world - 1], 2 if "temporal_group_frames" in options else last]


def same_block(options: dict[str, Any], *, ring: bool = False, masked: bool = False, dtype: torch.dtype) -> None:
    frames, rank = frames_of(options), dist.get_rank()
    block = NonLocalBlock(4, zero_init=False, **options).to(dtype)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    whole = copy.deepcopy(block)
    places = (3, 4) if block.ndim == 3 else ()
    x = torch.randn(2, 4, sum(frames), *places, dtype=dtype, requires_grad=True)
    mask = torch.rand(2, sum(frames), *places) > 0.4 if masked else None
    z, grad_z = whole(x, key_mask=mask), torch.randn_like(x)
    z.backward(grad_z)

    mine = x.detach().split(frames, dim=2)[rank].clone().requires_grad_()
    own_mask = None if mask is None else mask.split(frames, dim=1)[rank]
    parallel = SequenceParallel(dist.group.WORLD, ring=True) if ring else dist.group.WORLD
    got = block(mine, key_mask=own_mask, sequence_parallel=parallel)
    got.backward(grad_z.split(frames, dim=2)[rank])
    close = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    torch.testing.assert_close(got, z.split(frames, dim=2)[rank], **close)
    torch.testing.assert_close(mine.grad, x.grad.split(frames, dim=2)[rank], **close)
    # What cancels is as exact as its terms: the gradient of W_z's bias in front of BatchNorm is 0 but for rounding.
    largest = max(float(other.grad.abs().max()) for other in whole.parameters() if other.grad is not None)
    close["atol"] *= max(1.0, largest)
    for parameter, other in zip(block.parameters(), whole.parameters(), strict=True):
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        dist.all_reduce(gradient)
        torch.testing.assert_close(gradient, torch.zeros_like(other) if other.grad is None else other.grad, **close)
    for buffer, other in zip(block.buffers(), whole.buffers(), strict=True):
        torch.testing.assert_close(buffer, other)


def same_blocks() -> None:
    """All options on two processes, some on three (masked, in a ring) and on four."""
    world = dist.get_world_size()
    some = {2: (*SEQUENCES, *CLIPS[:2]), 3: (SEQUENCES[0], CLIPS[0]), 4: (SEQUENCES[2], CLIPS[1])}[world]
    for pairwise in PAIRWISE:
        ring = row_of(pairwise).is_softmax and world == 3
        for options in some:
            same_block({"pairwise": pairwise, **options}, ring=ring, masked=world == 3, dtype=torch.float64)
        if world == 2:
            # Not with BatchNorm, which magnifies float32's rounding: above, in float64.
            same_block({"pairwise": pairwise, **SEQUENCES[2]}, masked=True, dtype=torch.float32)
    if world == 2:
        for options in CLIPS[2:]:
            same_block(options, masked=True, dtype=torch.float64)


def frozen_parts() -> None:
    """Frozen weights, and only one process wants a gradient: the others go along."""
    rank = dist.get_rank()
    block = NonLocalBlock(4, ndim=1, zero_init=False, norm="batch").requires_grad_(False)
    whole, x = copy.deepcopy(block), torch.randn(2, 4, 7, requires_grad=True)
    whole(x).square().sum().backward()
    mine = x.detach().split([4, 3], dim=2)[rank].clone().requires_grad_(rank == 0)
    block(mine, sequence_parallel=dist.group.WORLD).square().sum().backward()
    if rank == 0:
        torch.testing.assert_close(mine.grad, x.grad[:, :, :4], atol=1e-5, rtol=1e-5)


def refusals() -> None:
    """On every process, whichever is at fault."""
    rank, world, x = dist.get_rank(), dist.group.WORLD, torch.randn(2, 4, 6)

    def call(x=x, ndim: int = 1, given: dict[str, Any] | None = None, **options: Any) -> None:
        NonLocalBlock(4, ndim=ndim, **options)(x, sequence_parallel=world, **(given or {}))

    refused("splits a sequence or a clip along time", call, torch.randn(1, 4, 3, 3), ndim=2)
    refused("does not split a block with a window, got window=2", call, window=2)
    for chosen in (LearnedPositions(2), KeyBlocks(2, 1)):
        refused("chooses among all keys, got subsample=", call, subsample=chosen)
    refused("leave out initial_state", call, given={"output_final_state": True}, causal=True, norm=None)
    refused("process 0 of 2 has 5 .of 5, 6.", call, x[:, :, 1 - rank :], subsample=(2,))
    refused("with at least one position", call, x[:, :, 6 * rank :])  # an empty part
    refused("the same options of the block", call, subsample=(1 + rank,))
    refused("same size of x beside time; got, in order of rank, .2, 4., .1, 4.", call, x[rank:])
    call(subsample=(2,))  # and after all that the processes are still in step


def main() -> None:
    same_blocks()
    if dist.get_world_size() == 2:
        frozen_parts()
        refusals()
