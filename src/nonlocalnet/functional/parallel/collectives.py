"""Collectives that differentiate into collectives: what they send in the forward pass comes back as gradients.

Shape suffixes: B batch, M positions.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nonlocalnet.functional.precision import sum_dtype


def all_sum(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    """The sum over the processes, on each of them; differentiable to any order."""
    return _AllSum.apply(x, group)  # pyright: ignore[reportReturnType]


def gathered(parts: tuple[Tensor, ...], sizes: tuple[int, ...], group: dist.ProcessGroup) -> tuple[Tensor, ...]:
    """(B, M, ...) of all processes for each (B, own part of M, ...), on each of them; differentiable to any order.

    Args:
        parts: Of this process.
        sizes: How much of M each process has, in order of rank; 0 is allowed.
        group: The processes.
    """
    # In one function, so that the backward pass has one order of its collectives on all processes.
    return _Gathered.apply(group, sizes, *parts)  # pyright: ignore[reportReturnType]


def gather_rows(part_BM: Tensor, sizes: tuple[int, ...], group: dist.ProcessGroup) -> Tensor:
    """`gathered` of one tensor, without a derivative."""
    rows = part_BM.transpose(0, 1).contiguous()
    rows_all = rows.new_empty(sum(sizes), *rows.shape[1:])
    own, works = dist.get_rank(group), []
    # One broadcast a process, straight into its place: parts need no padding to one length.
    for rank, piece in enumerate(rows_all.split(sizes)):
        if rank == own:
            piece.copy_(rows)
        if piece.numel() > 0:
            works.append(dist.broadcast(piece, group=group, group_src=rank, async_op=True))
    for work in works:
        work.wait()
    return rows_all.transpose(0, 1)


def _reduced_rows(all_BM: Tensor, sizes: tuple[int, ...], group: dist.ProcessGroup) -> Tensor:
    """The derivative of `gather_rows`: this process's part of the sum over the processes."""
    # A copy: a reduction may leave anything in the place of what other processes asked for.
    rows_all = all_BM.transpose(0, 1).to(sum_dtype(all_BM.dtype), copy=True).contiguous()
    pieces, works = rows_all.split(sizes), []
    for rank, piece in enumerate(pieces):
        if piece.numel() > 0:
            works.append(dist.reduce(piece, group=group, group_dst=rank, async_op=True))
    for work in works:
        work.wait()
    return pieces[dist.get_rank(group)].to(all_BM.dtype, copy=True).transpose(0, 1)


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return all_sum(grad_outputs[0], ctx.group), None


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, group: dist.ProcessGroup, sizes: tuple[int, ...], *parts: Tensor) -> tuple[Tensor, ...]:
        ctx.group, ctx.sizes = group, sizes
        return tuple(gather_rows(part, sizes, group) for part in parts)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *_Reduced.apply(ctx.group, ctx.sizes, *grad_outputs)  # pyright: ignore[reportGeneralTypeIssues]


class _Reduced(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, group: dist.ProcessGroup, sizes: tuple[int, ...], *wholes: Tensor) -> tuple[Tensor, ...]:
        ctx.group, ctx.sizes = group, sizes
        return tuple(_reduced_rows(whole, sizes, group) for whole in wholes)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *gathered(grad_outputs, ctx.sizes, ctx.group)
