"""The dot product's two products in half precision: operands as they are, accumulated in float32 by the hardware.

    factored    y = theta K,  K = alpha phi^T g        matrix      y = P g,  P = alpha theta phi^T

alpha = 1 / M goes into the product itself, where it multiplies the float32 accumulator, so that no float16 sum over M
is ever held: it could pass 65504, and 1 / M as a float16 factor is a subnormal from M = 16,384 on.
Shape suffixes: B batch, N output positions, M summed positions, C and D channels.
"""

from typing import Any

import torch
from torch import Tensor

from nonlocalnet.functional.differentiable import apply


def product_sum(theta_BNC: Tensor, phi_BMC: Tensor, g_BMD: Tensor, *, alpha: float, matrix: bool) -> Tensor:
    """Alpha theta phi^T g in the operands' dtype, differentiable to any order; `matrix`: which product first."""
    return apply(_ProductSum, theta_BNC, phi_BMC, g_BMD, alpha, matrix)[0]


def _scaled(left: Tensor, right: Tensor, alpha: float) -> Tensor:
    """Alpha times the batched product, in one launch."""
    unread = left.new_empty(())
    return torch.baddbmm(unread, left, right, beta=0, alpha=alpha)


def _inner(theta: Tensor, phi: Tensor, g: Tensor, alpha: float, matrix: bool) -> Tensor:
    """K (B, C, D), or P (B, N, M)."""
    return _scaled(theta, phi.mT, alpha) if matrix else _scaled(phi.mT, g, alpha)


class _ProductSum(torch.autograd.Function):
    @staticmethod
    def forward(theta: Tensor, phi: Tensor, g: Tensor, alpha: float, matrix: bool) -> tuple[Tensor, Tensor]:
        inner = _inner(theta, phi, g, alpha, matrix)
        return (torch.bmm(inner, g) if matrix else torch.bmm(theta, inner)), inner

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        theta, phi, g, ctx.alpha, ctx.matrix = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(theta, phi, g, output[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        theta, phi, g, inner = ctx.saved_tensors
        grad_y = grad_outputs[0]
        if torch.is_grad_enabled():  # a second derivative will be asked for
            inner = _inner(theta, phi, g, ctx.alpha, ctx.matrix)
        if ctx.matrix:
            grad_inner = _scaled(grad_y, g.mT, ctx.alpha)
            return torch.bmm(grad_inner, phi), torch.bmm(grad_inner.mT, theta), torch.bmm(inner.mT, grad_y), None, None
        grad_inner = _scaled(theta.mT, grad_y, ctx.alpha)
        return torch.bmm(grad_y, inner.mT), torch.bmm(g, grad_inner.mT), torch.bmm(phi, grad_inner), None, None
