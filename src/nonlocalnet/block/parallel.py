"""A block over a map that several processes share along time: what they agree on, and BatchNorm over all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from nonlocalnet.block.checks import check_input
from nonlocalnet.block.layers import BlockLayers
from nonlocalnet.block.norm import BATCH_NORMS, BatchNorm, check_batch_norm
from nonlocalnet.block.positions import KeyBlocks, LearnedPositions
from nonlocalnet.block.summing import summed
from nonlocalnet.functional.pairwise import row_of
from nonlocalnet.functional.parallel.collectives import all_sum
from nonlocalnet.functional.parallel.parts import Parts
from nonlocalnet.functional.parallel.processes import SequenceParallel, agree, as_sequence_parallel
from nonlocalnet.functional.parallel.sums import check_ring, sum_over_parts
from nonlocalnet.functional.precision import sum_dtype


@dataclass(frozen=True)
class SharedMap:
    """A map of which each process holds some frames (positions with ndim=1).

    Attributes:
        parallel: The processes.
        frames: Of each, in order of rank.
        masked: Whether any of them leaves positions out.
        learns: Whether any of them wants a gradient.
    """

    parallel: SequenceParallel
    frames: tuple[int, ...]
    masked: bool
    learns: bool

    def keys(self, kernel: int, places: int) -> tuple[int, ...]:
        """Of each process, with pooling in time and so many keys in a frame; too short a clip is not pooled."""
        kernel = 1 if sum(self.frames) < kernel else kernel
        return tuple(frames // kernel * places for frames in self.frames)


def share(
    block: BlockLayers,
    x: Tensor,
    key_mask: Tensor | None,
    given: dist.ProcessGroup | SequenceParallel,
    *,
    streams: bool,
) -> SharedMap:
    """What the processes hold, once they agree.

    Args:
        block: The block, the same on all processes.
        x: This process's part.
        key_mask: Its mask.
        given: What the user gave.
        streams: Whether a state was given or asked for.

    Raises:
        ValueError: On every process, where one cannot take its part or two differ.
    """
    parallel, error, own = as_sequence_parallel(given), None, {}
    alike: dict[str, Any] = {"options of the block": block.extra_repr(), "mode (train or eval)": block.training}
    try:
        _check_shares(block, parallel, streams=streams)
        check_input(block, x, key_mask)
    except ValueError as caught:
        error = caught
    if error is None:
        own = {"frames": x.shape[2], "masked": key_mask is not None, "learns": _learns(block, x)}
        alike["size of x beside time"] = (*x.shape[:2], *x.shape[3:])
        alike["dtype"] = str(x.dtype)
        alike["gradient mode"] = torch.is_grad_enabled()
    told = agree(parallel, own, alike=alike, error=error)
    shared = SharedMap(
        parallel,
        tuple(said["frames"] for said in told),
        any(said["masked"] for said in told),
        any(said["learns"] for said in told),
    )
    _check_windows(shared.frames, block.pool_kernel[0])
    return shared


def _learns(block: BlockLayers, x: Tensor) -> bool:
    return torch.is_grad_enabled() and (x.requires_grad or any(one.requires_grad for one in block.parameters()))


def _check_shares(block: BlockLayers, parallel: SequenceParallel, *, streams: bool) -> None:
    """Refuse a block whose sum is not split over processes."""
    if streams:
        raise ValueError(
            "sequence_parallel has all pieces of a sequence at once: leave out initial_state and output_final_state"
        )
    if block.ndim == 2:
        raise ValueError("sequence_parallel splits a sequence or a clip along time: it needs ndim=1 or 3, got ndim=2")
    if block.window is not None:
        raise ValueError(f"sequence_parallel does not split a block with a window, got window={block.window}")
    if isinstance(block.subsample, (LearnedPositions, KeyBlocks)):
        raise ValueError(
            f"sequence_parallel does not split a block that chooses among all keys, got subsample={block.subsample!r}"
        )
    check_ring(parallel, row_of(block.pairwise))


def _check_windows(frames: tuple[int, ...], kernel: int) -> None:
    """Refuse cuts inside a window of the pooling; what is left over at the end of all is left out, as ever."""
    if sum(frames) < kernel:
        return
    for rank, held in enumerate(frames[:-1]):
        if held % kernel != 0:
            raise ValueError(
                f"subsample pools {kernel} positions in time: every process's part but the last must be a multiple of "
                f"it; process {rank} of {len(frames)} has {held} (of {', '.join(map(str, frames))})"
            )


def over_parts(block: BlockLayers, x: Tensor, key_mask: Tensor | None, shared: SharedMap) -> Tensor:
    """Z of this process's part of a map, as one process with all of it would have it."""
    norm = None if block.norm is None else partial(_normed, block.norm, shared=shared)
    return block.added(x, block.folding.unfold(_summed_over_parts(block, x, key_mask, shared), x), norm=norm)


def _summed_over_parts(block: BlockLayers, x: Tensor, key_mask: Tensor | None, shared: SharedMap) -> Tensor:
    """Y (sets, positions, D) of this process's part."""
    kernel, frames = block.pool_kernel[0], sum(shared.frames)
    if block.domain == "space" or block.temporal_group_frames is not None:  # no set reaches beyond a part
        return summed(block.sets(), block.operands(x, key_mask), training=block.training)
    if block.causal and frames < kernel:
        return block.folding.fold(x.new_zeros(len(x), block.inner_channels, *x.shape[2:]))
    cut = block.keys_of_whole_windows if frames >= kernel else block.keys_and_values
    keys, values, mask = cut(x, key_mask)
    theta = block.folding.fold(block.queries(x))
    places = 1 if block.domain == "time" else math.prod(keys.shape[3:])
    phi, g, mask = block.fold_keys(keys, values, mask)
    return sum_over_parts(
        row_of(block.pairwise), theta, phi, g,
        Parts(shared.parallel, shared.keys(kernel, places), shared.masked),
        seen_N=block.seen(x) if block.causal else None,
        key_mask=mask, learns=shared.learns, **block.sets().own,
    )  # fmt: skip


def _normed(norm: nn.Module, z: Tensor, shared: SharedMap) -> Tensor:
    """The norm after W_z; BatchNorm in training by the statistics of all processes, as one process would have them."""
    if not isinstance(norm, tuple(BATCH_NORMS.values())) or not norm.training:
        return norm(z)  # SyncBatchNorm has its own group
    if shared.parallel.size == 1:
        check_batch_norm(norm, z)
    if shared.learns and not z.requires_grad:
        z = z.detach().requires_grad_()  # or the others would wait for this process in the backward pass
    axes, shape = (0, *range(2, z.dim())), (1, -1, *(1,) * (z.dim() - 2))
    count = len(z) * sum(shared.frames) * math.prod(z.shape[3:])
    wide = z.to(sum_dtype(z.dtype))
    mean_C = all_sum(wide.sum(dim=axes), shared.parallel.group) / count
    centred = wide - mean_C.view(shape)
    variance_C = all_sum(centred.square().sum(dim=axes), shared.parallel.group) / count
    _follow(norm, mean_C.detach(), variance_C.detach() * (count / (count - 1)))
    factor_C = norm.weight * (variance_C + norm.eps).rsqrt()
    return (centred * factor_C.view(shape) + norm.bias.view(shape)).to(z.dtype)


@torch.no_grad()
def _follow(norm: BatchNorm, mean_C: Tensor, variance_C: Tensor) -> None:
    """The running statistics, as `torch.nn.BatchNorm` keeps them."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked += 1
    share = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean_C.to(norm.running_mean.dtype), share)
    norm.running_var.lerp_(variance_C.to(norm.running_var.dtype), share)
