"""sum_{j < seen_i} (q_i . k_j) v_j: a running total of k v^T, and small products inside each block of keys.

    key blocks      | 0 1 2 3 | 4 5 6 7 | 8 ...
    query, seen 6   [ total S ] [x x]                 y = q S + (q k_4) v_4 + (q k_5) v_5

The derivatives are sums of the same kind, those of k and v over what comes after, so that the function differentiates
into itself to any order; the totals are made again there, and nothing of size N C D is kept.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from nonlocalnet.functional.causal.prefixes import on_host, segments, turned
from nonlocalnet.functional.differentiable import apply
from nonlocalnet.functional.precision import without_autocast

# Keys of a block. Smaller blocks mean more of them (a few small products each), larger ones more work inside.
BLOCK = 128


def prefix_products(q_BNC: Tensor, k_BMC: Tensor, v_BMD: Tensor, seen_N: Tensor) -> Tensor:
    """sum_{j < seen_i} (q_i . k_j) v_j, (B, N, D), differentiable to any order."""
    return apply(_PrefixProducts, q_BNC, k_BMC, v_BMD, seen_N)


class _PrefixProducts(torch.autograd.Function):
    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
        return _prefix_products(q, k, v, seen)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, seen = ctx.saved_tensors
        (grad_y,) = grad_outputs
        after = turned(seen, k.shape[1])
        # sum over the i that have seen j of (v_j . dy_i) q_i, and of (k_j . q_i) dy_i: both sides read from the end.
        q_back, dy_back, k_back, v_back = (side.flip(1) for side in (q, grad_y, k, v))
        grad_k = apply(_PrefixProducts, v_back, dy_back, q_back, after).flip(1)
        grad_v = apply(_PrefixProducts, k_back, q_back, dy_back, after).flip(1)
        return apply(_PrefixProducts, grad_y, v, k, seen), grad_k, grad_v, None


@torch.library.custom_op("nonlocalnet::prefix_products", mutates_args=())
def _prefix_products(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    y_BND = v.new_zeros(q.shape[0], q.shape[1], v.shape[2])
    with without_autocast(q):
        # In double: a float32 total of a million products would lose digits, and costs C D a block only.
        total_BCD = torch.zeros(q.shape[0], k.shape[2], v.shape[2], dtype=torch.float64, device=q.device)
        summed = 0
        for block, begin, end in segments(on_host(seen), BLOCK):
            first = block * BLOCK
            while summed < first:
                part = slice(summed, min(summed + BLOCK, first))
                total_BCD += torch.bmm(k[:, part].mT, v[:, part])
                summed += BLOCK
            q_BnC = q[:, begin:end]
            y_BnD = torch.bmm(q_BnC, total_BCD.to(q.dtype))
            last = min(first + BLOCK, k.shape[1])
            if last > first:
                places = torch.arange(first, last, device=q.device)
                weights = torch.bmm(q_BnC, k[:, first:last].mT)
                weights.masked_fill_(places >= seen[begin:end, None], 0.0)
                y_BnD.baddbmm_(weights, v[:, first:last])
            y_BND[:, begin:end] = y_BnD
    return y_BND


@_prefix_products.register_fake
def _shapes(q: Tensor, _k: Tensor, v: Tensor, _seen: Tensor) -> Tensor:
    return v.new_empty(q.shape[0], q.shape[1], v.shape[2])


@register_flop_formula(torch.ops.nonlocalnet.prefix_products)
def _flops(q: list[int], k: list[int], v: list[int], *_: object, **__: object) -> int:
    """Two operations for each multiply-add: the totals, the queries' reads of them, and half of each block."""
    batch, rows, channels = q
    width, keys = v[2], k[1]
    return 2 * batch * ((rows + keys) * channels * width + rows * BLOCK * (channels + width) // 2)
