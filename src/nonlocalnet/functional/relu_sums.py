"""sum_j ReLU(a_i + b_j) g_j for every i without the pairs, and its derivatives.

The derivatives are sums of the same kind with the sides exchanged, so the function differentiates into itself to any
order. Two methods stand behind the operator ``nonlocalnet::relu_sums``: prefix sums over sorted keys
(`nonlocalnet.functional.relu_sorted`), and on a GPU a fused kernel that makes the weights tile by tile
(`nonlocalnet.functional.kernels.relu_sums`). Ties a_i = -b_j are not counted: torch.relu's derivative at 0 is 0. Shape
suffixes: B batch, N output positions (a), M summed positions (b), D channels.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from nonlocalnet.functional.differentiable import apply, wants_gradient
from nonlocalnet.functional.precision import without_autocast
from nonlocalnet.functional.relu_sorted import sorted_sums
from nonlocalnet.functional.row_dots import row_dots


def relu_sum(a_BN: Tensor, b_BM: Tensor, g_BMD: Tensor, *, alpha: float = 1.0, fused: bool = False) -> Tensor:
    """Alpha sum_j ReLU(a_i + b_j) g_j, (B, N, D), differentiable to any order, no N x M matrix in any of them.

    Args:
        a_BN: (B, N), in g's dtype, or float32 for a g in half precision.
        b_BM: (B, M), in a's dtype.
        g_BMD: (B, M, D).
        alpha: multiplies the sums before they are rounded to g's dtype: 1 / M keeps float16 sums from overflowing.
        fused: by the kernel for GPUs, not by sorting.
    """
    return apply(_ReluSums, a_BN, b_BM, g_BMD, alpha, fused, wants_gradient(a_BN, b_BM, g_BMD))[0]


def sums(
    a_BN: Tensor, b_BM: Tensor, g_BMD: Tensor, *, alpha: float, fused: bool, both: bool = True
) -> tuple[Tensor, Tensor]:
    """Both sums, without a derivative: `relu_sum`, and alpha times the sum over the j with a_i + b_j > 0 of g_j.

    The second may be anything where it is not wanted (`both`): only derivatives need it.
    """
    # The kernel is launched without the operator's overhead where nobody needs to see the operator.
    if fused and g_BMD.is_cuda and not torch.compiler.is_compiling():
        return _sums_now(a_BN, b_BM, g_BMD, alpha, fused, both)
    return _sums(a_BN, b_BM, g_BMD, alpha, fused, both)


class _ReluSums(torch.autograd.Function):
    @staticmethod
    def forward(a: Tensor, b: Tensor, g: Tensor, alpha: float, fused: bool, trained: bool) -> tuple[Tensor, Tensor]:
        return sums(a, b, g, alpha=alpha, fused=fused, both=trained)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        a, b, g, ctx.alpha, ctx.fused, _ = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(a, b, g, output[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        grad_y, grad_counted = grad_outputs
        a, b, g, counted = ctx.saved_tensors
        grad_a = grad_b = grad_g = None
        if grad_y is not None:
            grad_g, counted_by_key = apply(_ReluSums, b, a, grad_y, ctx.alpha, ctx.fused, True)
            grad_a, grad_b = row_dots(grad_y, counted), row_dots(g, counted_by_key)
        if grad_counted is not None:  # only in derivatives of derivatives
            steps_g = apply(_ReluSums, b, a, grad_counted, ctx.alpha, ctx.fused, True)[1]
            grad_g = steps_g if grad_g is None else grad_g + steps_g
        return grad_a, grad_b, grad_g, None, None, None


def _sums_now(a: Tensor, b: Tensor, g: Tensor, alpha: float, fused: bool, both: bool) -> tuple[Tensor, Tensor]:
    """Alpha times (sum_j ReLU(a_i + b_j) g_j, sum over the j with a_i + b_j > 0 of g_j)."""
    if 0 in (a.numel(), b.numel()):  # no rows, or (in the backward pass of no rows) no keys
        shape = (*a.shape, g.shape[2])
        return g.new_zeros(shape), g.new_zeros(shape if both else 0)
    with without_autocast(g):
        if fused:
            from nonlocalnet.functional.kernels.relu_sums import relu_sums_kernel

            return relu_sums_kernel(a, b, g, alpha=alpha, both=both)
        y_BND, counted_BND = sorted_sums(a, b, g, both=both)
        return (y_BND, counted_BND) if alpha == 1.0 else (y_BND.mul_(alpha), counted_BND.mul_(alpha))


_sums = torch.library.custom_op("nonlocalnet::relu_sums", _sums_now, mutates_args=())


@_sums.register_fake
def _sums_shapes(a: Tensor, _b: Tensor, g: Tensor, _alpha: float, _fused: bool, both: bool) -> tuple[Tensor, Tensor]:
    shape = (*a.shape, g.shape[2])
    return g.new_empty(shape), g.new_empty(shape if both else 0)


@register_flop_formula(torch.ops.nonlocalnet.relu_sums)
def _flops(
    a_shape: list[int], _b_shape: list[int], g_shape: list[int], _alpha: float, fused: bool, both: bool, **_: object
) -> int:
    """Fused: two products with g. Sorted: two prefix sums of g and two reads of them: the work of the method."""
    batch, keys, channels = g_shape
    if fused:
        return (2 if both else 1) * batch * 2 * a_shape[1] * keys * channels
    return 2 * batch * 2 * (a_shape[1] + keys) * channels
