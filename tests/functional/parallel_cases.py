"""What processes run in `test_parallel.py`: their parts of a sum against one process's whole."""

from __future__ import annotations

import itertools
from datetime import timedelta
from time import monotonic

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from functional.operands import make
from nonlocalnet import functional
from nonlocalnet.functional import PAIRWISE, SequenceParallel
from nonlocalnet.functional.pairwise import row_of
from processes import refused

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def parts(whole: Tensor, sizes: list[int]) -> Tensor:
    """This process's part of (B, N, ...), a leaf."""
    part = whole.detach().split(sizes, dim=1)[dist.get_rank()].clone()
    return part.requires_grad_(whole.requires_grad)


def sizes_of(world: int) -> tuple[list[int], list[int]]:
    """N and M of each process: uneven, and one without keys."""
    return [5, 3, 4, 6][:world], [3, 0, 4, 2][:world]


def same_sum(pairwise: str, *, ring: bool, causal: bool, masked: bool, dtype: torch.dtype, learns: bool = True) -> None:
    rows, keys = sizes_of(dist.get_world_size())
    whole = make(rows=sum(rows), keys=sum(keys), dtype=dtype, masked=masked).requires_grad()
    before = [sum(keys[:rank]) for rank in range(len(keys))]
    seen = [torch.arange(n).clamp_max(m) for n, m in zip(rows, keys, strict=True)]
    own: dict = {"w_f": whole.w_f} if pairwise == "concatenation" else {}
    operands = whole.theta, whole.phi, whole.g
    if causal:
        all_seen = torch.cat([part + first for part, first in zip(seen, before, strict=True)])
        y = functional.causal_sum(pairwise, *operands, seen_N=all_seen, key_mask=whole.key_mask, **own)
    else:
        y = row_of(pairwise).sum(*operands, key_mask=whole.key_mask, **own)
    grad_y = torch.randn_like(y)
    y.backward(grad_y)

    rank = dist.get_rank()
    mine = [parts(part, n) for part, n in zip(operands, (rows, keys, keys), strict=True)]
    own = {"w_f": whole.w_f.detach().clone().requires_grad_()} if own else {}
    # One process leaves its mask out where it keeps all it has.
    mask = None if whole.key_mask is None else whole.key_mask.split(keys, dim=1)[rank]
    mask = None if mask is None or bool(mask.all()) else mask
    if not learns and rank == 0:
        mine = [one.detach() for one in mine]
    got = functional.parallel_sum(
        pairwise, *mine, sequence_parallel=SequenceParallel(dist.group.WORLD, ring=ring), causal=causal,
        seen_N=seen[rank] if causal else None, key_mask=mask, **own,
    )  # fmt: skip
    got.backward(grad_y.split(rows, dim=1)[rank])
    close = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    torch.testing.assert_close(got, y.split(rows, dim=1)[rank], **close)
    if not learns and rank == 0:
        return
    for part, all_parts, n in zip(mine, operands, (rows, keys, keys), strict=True):
        torch.testing.assert_close(part.grad, all_parts.grad.split(n, dim=1)[rank], **close)
    if own and learns:
        dist.all_reduce(own["w_f"].grad)
        torch.testing.assert_close(own["w_f"].grad, whole.w_f.grad, **close)


def same_sums() -> None:
    world = dist.get_world_size()
    for pairwise, causal in itertools.product(PAIRWISE, (False, True)):
        for ring in (False, True) if row_of(pairwise).is_softmax else (False,):
            how = {"ring": ring, "causal": causal}
            same_sum(pairwise, **how, masked=True, dtype=torch.float64)
            if world < 4:
                same_sum(pairwise, **how, masked=False, dtype=(torch.float64, torch.float32)[world - 2])


def second_derivatives() -> None:
    """Of a norm of the gradient, as a gradient penalty takes it."""
    rank, rows = dist.get_rank(), [3, 2]
    for pairwise in ("embedded_gaussian", "dot_product", "concatenation"):
        whole = make(rows=5, keys=5).requires_grad()
        own = {"w_f": whole.w_f} if pairwise == "concatenation" else {}
        results = []
        for operands, own_sum in (
            ((whole.theta, whole.phi, whole.g), row_of(pairwise).sum),
            ([parts(one, rows) for one in (whole.theta, whole.phi, whole.g)], None),
        ):
            if own_sum is None:
                y = functional.parallel_sum(pairwise, *operands, sequence_parallel=dist.group.WORLD, **own)
            else:
                y = own_sum(*operands, **own)
            gradients = torch.autograd.grad(y.square().sum(), operands, create_graph=True)
            results.append(torch.autograd.grad(sum(one.square().sum() for one in gradients), operands))
        for one, mine in zip(*results, strict=True):
            torch.testing.assert_close(mine, one.split(rows, dim=1)[rank])


def half_precision() -> None:
    rank, rows = dist.get_rank(), [5, 3]
    for pairwise in PAIRWISE:
        whole = make(rows=8, keys=8, dtype=torch.bfloat16).requires_grad()
        own = {"w_f": whole.w_f.detach()} if pairwise == "concatenation" else {}
        operands = whole.theta, whole.phi, whole.g
        y = row_of(pairwise).sum(*operands, **own)
        y.sum().backward()
        mine = [parts(one, rows) for one in operands]
        got = functional.parallel_sum(pairwise, *mine, sequence_parallel=dist.group.WORLD, **own)
        got.sum().backward()
        torch.testing.assert_close(got, y.split(rows, dim=1)[rank])
        for one, part in zip(operands, mine, strict=True):
            torch.testing.assert_close(part.grad, one.grad.split(rows, dim=1)[rank], atol=0.05, rtol=0.05)


def refusals() -> None:
    """On every process, whichever is at fault."""
    rank, x = dist.get_rank(), torch.randn(2, 4, 3)
    world = dist.group.WORLD

    def call(theta: Tensor = x, phi: Tensor = x, pairwise: str = "dot_product", parallel=world, **options: object):
        functional.parallel_sum(pairwise, theta, phi, phi, sequence_parallel=parallel, **options)

    refused("must be a process group .* got 'gloo'", call, parallel="gloo")
    refused("pairwise must be one of", call, pairwise="product")
    refused("ring=True passes the keys of a softmax", call, parallel=SequenceParallel(world, ring=True))
    refused("seen_N belongs to causal=True", call, seen_N=torch.arange(4))
    refused("same batch size, C and D; got, in order of rank, .2, 3, 3, 3., .1, ", call, *(x[rank:],) * 2)
    refused("same dtypes", call, *(x.to((torch.float32, torch.float64)[rank]),) * 2)
    refused("same pairwise; got, in order of rank, gaussian, dot_product", call, pairwise=PAIRWISE[2 * rank])
    refused("at least one position", call, phi=x[:, :0])
    bad = {"key_mask": torch.ones(2, 4)} if rank == 1 else {}
    refused("key_mask must be bool" if rank == 1 else "process 1 of 2 .* key_mask must be bool", call, **bad)
    with torch.set_grad_enabled(rank == 0):
        refused("same gradient mode", call)
    call()  # and after all that the processes are still in step


def a_process_that_does_not_come() -> None:
    group = dist.new_group(timeout=timedelta(seconds=1))
    if dist.get_rank() == 0:
        began, x = monotonic(), torch.randn(1, 3, 2)
        with pytest.raises(RuntimeError):
            functional.parallel_sum("dot_product", x, x, x, sequence_parallel=group)
        assert monotonic() - began < 30


def main() -> None:
    same_sums()
    if dist.get_world_size() == 2:
        for pairwise, ring in (
            ("gaussian", True),
            ("gaussian", False),
            ("dot_product", False),
            ("concatenation", False),
        ):
            same_sum(pairwise, ring=ring, causal=True, masked=False, dtype=torch.float64, learns=False)
        second_derivatives()
        half_precision()
        refusals()
        a_process_that_does_not_come()
