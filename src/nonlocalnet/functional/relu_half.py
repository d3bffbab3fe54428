"""Concatenation in half precision on a GPU, forward and backward as one function, by the fused kernel.

    a = theta w_1,  b = phi w_2 (float32)        y_i = alpha sum_j ReLU(r a_i + r b_j) g_j
    dg_j = alpha sum_i ReLU(r a_i + r b_j) dy_i
    da_i = r dy_i . c_i,  c_i = alpha times the sum of the counted g_j;  db_j likewise with the sides exchanged

r, one number a batch element, makes the divisor of a masked one: ReLU(r x) = r ReLU(x). a and b are float32: each may
be large beside their sum. Shape suffixes: B batch, N output positions, M summed positions, C and D channels.
"""

from typing import Any

import torch
from torch import Tensor

from nonlocalnet.functional.differentiable import apply, gradients, wants_gradient
from nonlocalnet.functional.relu_sums import relu_sum, sums
from nonlocalnet.functional.row_dots import row_dots


def concatenation_sum(
    theta_BNC: Tensor, phi_BMC: Tensor, g_BMD: Tensor, w_f: Tensor, ratio_B1: Tensor | None
) -> Tensor:
    """The mean over all M positions of ReLU(w_f . [theta_i, phi_j]) g_j, times `ratio_B1` (float32; None for 1)."""
    trained = wants_gradient(theta_BNC, phi_BMC, g_BMD, w_f)
    return apply(_Concatenation, theta_BNC, phi_BMC, g_BMD, w_f, ratio_B1, trained)[0]


def _sides(theta: Tensor, phi: Tensor, w_f: Tensor, ratio: Tensor | None) -> tuple[Tensor, Tensor]:
    channels = theta.shape[2]
    a, b = row_dots(theta, w_f[:channels]), row_dots(phi, w_f[channels:])
    return (a, b) if ratio is None else (a * ratio, b * ratio)


class _Concatenation(torch.autograd.Function):
    @staticmethod
    def forward(
        theta: Tensor, phi: Tensor, g: Tensor, w_f: Tensor, ratio: Tensor | None, trained: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        a, b = _sides(theta, phi, w_f, ratio)
        y, counted = sums(a, b, g, alpha=1.0 / g.shape[1], fused=True, both=trained)
        return y, counted, a, b

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, counted, a, b = output
        ctx.mark_non_differentiable(counted, a, b)
        ctx.save_for_backward(*inputs[:5], counted, a, b)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        grad_y = grad_outputs[0]
        theta, phi, g, w_f, ratio, counted, a, b = ctx.saved_tensors
        alpha, channels = 1.0 / g.shape[1], theta.shape[2]
        if torch.is_grad_enabled():  # a second derivative will be asked for

            def again(theta: Tensor, phi: Tensor, g: Tensor, w_f: Tensor) -> Tensor:
                return relu_sum(*_sides(theta, phi, w_f, ratio), g, alpha=alpha, fused=True)

            return *gradients(again, (theta, phi, g, w_f), grad_y, create_graph=True), None, None
        grad_g, counted_by_key = sums(b, a, grad_y, alpha=alpha, fused=True)
        grad_a, grad_b = row_dots(grad_y, counted), row_dots(g, counted_by_key)
        if ratio is not None:
            grad_a, grad_b = grad_a * ratio, grad_b * ratio
        grad_a, grad_b, w = grad_a.to(theta.dtype), grad_b.to(theta.dtype), w_f.to(theta.dtype)
        grad_w = torch.cat([_weighted_rows(grad_a, theta), _weighted_rows(grad_b, phi)])
        grad_theta, grad_phi = grad_a.unsqueeze(2) * w[:channels], grad_b.unsqueeze(2) * w[channels:]
        return grad_theta, grad_phi, grad_g, grad_w.to(w_f.dtype), None, None


def _weighted_rows(weights_BN: Tensor, rows_BNC: Tensor) -> Tensor:
    """sum_bn weights_bn rows_bn, (C,)."""
    return torch.mm(weights_BN.reshape(1, -1), rows_BNC.reshape(-1, rows_BNC.shape[2])).squeeze(0)
