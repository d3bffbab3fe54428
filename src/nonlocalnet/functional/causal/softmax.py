"""softmax over j < seen_i, a block of queries at a time over the keys that its last query has seen.

    P = softmax over the seen keys,  Y = P V;  the backward pass makes each block of P again from the forward's
    logarithm of the normaliser, as `nonlocalnet.functional.softmax_blocks` does.

A query that has seen no key has Y = 0. Half of the matrix is never made. On a CPU a plain sequence, of which position i
has seen i + 1 keys and all are kept, goes through PyTorch's flash attention instead.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from nonlocalnet.functional.causal.prefixes import on_host
from nonlocalnet.functional.differentiable import apply
from nonlocalnet.functional.precision import without_autocast
from nonlocalnet.functional.softmax_flash import attend, attend_backward, goes_backward

BLOCK_WEIGHTS = 4 * 1024 * 1024
LEAST_ROWS = 64


def prefix_softmax(q: Tensor, k: Tensor, v: Tensor, kept: Tensor | None, seen: Tensor, scale: float) -> Tensor:
    """softmax(scale Q K^T) V over the kept (B, M) of the seen keys; the second derivative holds the N x M matrix."""
    return apply(_PrefixSoftmax, q, k, v, kept, seen, scale)[0]


def _blocks(seen: np.ndarray, batch: int) -> Iterator[tuple[slice, int]]:
    """Queries, and how many keys the last of them has seen."""
    begin = 0
    while begin < len(seen):
        # As many rows as their last row's keys allow; seen grows, so a first guess is too many at most.
        rows = max(LEAST_ROWS, BLOCK_WEIGHTS // max(1, batch * int(seen[begin])))
        end = min(begin + rows, len(seen))
        end = min(end, begin + max(LEAST_ROWS, BLOCK_WEIGHTS // max(1, batch * int(seen[end - 1]))))
        yield slice(begin, end), int(seen[end - 1])
        begin = end


def _logits(q: Tensor, k: Tensor, kept: Tensor | None, seen: Tensor, scale: float) -> Tensor:
    logits = torch.bmm(q, k.mT).mul_(scale)
    unseen = torch.arange(k.shape[1], device=k.device) >= seen[:, None]
    return logits.masked_fill_(unseen if kept is None else unseen | ~kept[:, None, : k.shape[1]], float("-inf"))


def _is_plain(q: Tensor, k: Tensor, v: Tensor, kept: Tensor | None, seen: np.ndarray) -> bool:
    """Whether the flash kernels for CPUs know which keys each query has seen."""
    if q.device.type != "cpu" or kept is not None or not q.shape[2] == v.shape[2] > 0 or q.numel() == 0:
        return False
    return q.shape[1] == k.shape[1] and np.array_equal(seen, np.arange(1, len(seen) + 1))


@torch.library.custom_op("nonlocalnet::prefix_softmax", mutates_args=())
def _forward(q: Tensor, k: Tensor, v: Tensor, kept: Tensor | None, seen: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    counts = on_host(seen)
    if _is_plain(q, k, v, kept, counts):
        return attend(q, k, v, None, scale, causal=True)
    y_BND = v.new_zeros(q.shape[0], q.shape[1], v.shape[2])
    # +inf for a query without keys: its weights exp(-inf - inf) are 0.
    normaliser_BN1 = q.new_full((q.shape[0], q.shape[1], 1), float("inf"))
    with without_autocast(q):
        for n, keys in _blocks(counts, q.shape[0]):
            if keys == 0:
                continue
            logits = _logits(q[:, n], k[:, :keys], kept, seen[n], scale)
            highest = logits.amax(dim=-1, keepdim=True)
            empty = highest == float("-inf")
            weights = logits.sub_(highest.masked_fill(empty, 0.0)).exp_()
            total = weights.sum(dim=-1, keepdim=True)
            y_BND[:, n] = torch.bmm(weights, v[:, :keys]).div_(total.masked_fill(empty, 1.0))
            normaliser_BN1[:, n] = total.log().add_(highest).masked_fill_(empty, float("inf"))
    return y_BND, normaliser_BN1


@torch.library.custom_op("nonlocalnet::prefix_softmax_backward", mutates_args=())
def _backward(
    grad_y: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    kept: Tensor | None,
    seen: Tensor,
    y: Tensor,
    normaliser: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    counts = on_host(seen)
    if goes_backward(q) and _is_plain(q, k, v, kept, counts):
        return attend_backward(grad_y, q, k, v, None, y, normaliser, scale, causal=True)
    grad_q, grad_k, grad_v = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    with without_autocast(q):
        for n, keys in _blocks(counts, q.shape[0]):
            if keys == 0:
                continue
            weights = _logits(q[:, n], k[:, :keys], kept, seen[n], scale).sub_(normaliser[:, n]).exp_()
            grad_v[:, :keys] += torch.bmm(weights.mT, grad_y[:, n])
            mean_BN1 = (grad_y[:, n] * y[:, n]).sum(dim=-1, keepdim=True)
            grad_logits = torch.bmm(grad_y[:, n], v[:, :keys].mT).sub_(mean_BN1).mul_(weights)
            grad_q[:, n] = torch.bmm(grad_logits, k[:, :keys]).mul_(scale)
            grad_k[:, :keys] += torch.bmm(grad_logits.mT, q[:, n]).mul_(scale)
    return grad_q, grad_k, grad_v


class _PrefixSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, kept: Tensor | None, seen: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        return _forward(q, k, v, kept, seen, scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        q, k, v, kept, seen, ctx.scale = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(q, k, v, kept, seen, *output)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, kept, seen, y, normaliser = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: a second derivative will be asked for
            gradients = _gradients_with_matrix(grad_outputs[0], q, k, v, kept, seen, ctx.scale)
        else:
            gradients = _backward(grad_outputs[0], q, k, v, kept, seen, y, normaliser, ctx.scale)
        return *gradients, None, None, None


def _gradients_with_matrix(
    grad_y: Tensor, q: Tensor, k: Tensor, v: Tensor, kept: Tensor | None, seen: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The derivatives as products that can be differentiated again; N x M in memory."""
    with without_autocast(q):
        out = torch.arange(k.shape[1], device=k.device) >= seen[:, None]
        out = out.unsqueeze(0) if kept is None else out | ~kept.unsqueeze(1)
        empty = out.all(dim=-1, keepdim=True)
        logits = (torch.bmm(q, k.mT) * scale).masked_fill(out & ~empty, float("-inf"))
        weights = torch.softmax(logits, dim=-1).masked_fill(empty, 0.0)
        grad_weights = torch.bmm(grad_y, v.mT)
        grad_logits = weights * (grad_weights - (weights * grad_weights).sum(dim=-1, keepdim=True)) * scale
        return torch.bmm(grad_logits, k), torch.bmm(grad_logits.mT, q), torch.bmm(weights.mT, grad_y)


@torch.library.register_fake("nonlocalnet::prefix_softmax")
def _forward_shapes(
    q: Tensor, _k: Tensor, v: Tensor, _kept: Tensor | None, _seen: Tensor, _scale: float
) -> tuple[Tensor, Tensor]:
    return v.new_empty(q.shape[0], q.shape[1], v.shape[2]), q.new_empty(q.shape[0], q.shape[1], 1)


@torch.library.register_fake("nonlocalnet::prefix_softmax_backward")
def _backward_shapes(_grad_y: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


@register_flop_formula(torch.ops.nonlocalnet.prefix_softmax)
def _forward_flops(q: list[int], k: list[int], v: list[int], *_: object, **__: object) -> int:
    """Half of the pairs; two operations for each multiply-add of Q K^T and P V."""
    return q[0] * q[1] * k[1] * (q[2] + v[2])


@register_flop_formula(torch.ops.nonlocalnet.prefix_softmax_backward)
def _backward_flops(_: list[int], q: list[int], k: list[int], v: list[int], *__: object, **___: object) -> int:
    """Half of what `nonlocalnet.functional.softmax_blocks` counts."""
    return q[0] * q[1] * k[1] * (3 * q[2] + 2 * v[2])
