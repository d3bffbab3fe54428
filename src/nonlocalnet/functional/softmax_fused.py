"""The softmax-weighted sum by PyTorch's fused attention, where a GPU has a kernel for the operands.

The kernels hold no N x M matrix and take half precision to the tensor cores, which blocks of float32 products
cannot. What they lack: float64, some head sizes, and a second derivative. On CPU the fused kernel was measured no
faster than our blocks (forward and backward, N = M = 6272, C = D = 256), so the blocks alone serve it; they serve
compiled graphs too, where asking which kernel would run is not possible.
Shape suffixes: B batch, N output positions, M summed positions, C and D channels.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.backends.cuda import SDPAParams, can_use_efficient_attention, can_use_flash_attention

from nonlocalnet.functional.precision import sum_dtype, without_autocast
from nonlocalnet.functional.softmax_blocks import gradients_with_matrix


def fused_kernel_takes(q_BNC: Tensor, k_BMC: Tensor, v_BMD: Tensor, bias_B1M: Tensor | None) -> bool:
    """Whether a fused CUDA kernel takes these operands; without one PyTorch would build the matrix."""
    if q_BNC.device.type != "cuda" or torch.compiler.is_compiling() or 0 in (q_BNC.shape[0], q_BNC.shape[1]):
        return False
    q, k, v = (rows.unsqueeze(1) for rows in (q_BNC, k_BMC, v_BMD))
    mask = None if bias_B1M is None else bias_B1M.to(q_BNC.dtype).unsqueeze(1)
    params = SDPAParams(q, k, v, mask, 0.0, False, False)
    return can_use_flash_attention(params) or can_use_efficient_attention(params)


def fused_softmax_sum(q_BNC: Tensor, k_BMC: Tensor, v_BMD: Tensor, bias_B1M: Tensor | None, scale: float) -> Tensor:
    """softmax(scale Q K^T + bias) V in the operands' dtype; the kernels accumulate in float32."""
    return _FusedSoftmaxSum.apply(q_BNC, k_BMC, v_BMD, bias_B1M, scale)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    mask = None if bias is None else bias.to(q.dtype).unsqueeze(1)
    q, k, v = (rows.unsqueeze(1) for rows in (q, k, v))
    with without_autocast(q):
        return F.scaled_dot_product_attention(q, k, v, mask, scale=scale).squeeze(1)


class _FusedSoftmaxSum(torch.autograd.Function):
    """Runs the kernel again in the backward pass: PyTorch's own graph of it could not be differentiated twice."""

    @staticmethod
    def forward(ctx: Any, *operands: Any) -> Tensor:
        q, k, v, bias, scale = operands
        ctx.save_for_backward(q, k, v, bias)
        ctx.scale = scale
        return _attend(q, k, v, bias, scale)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad_y,) = grad_outputs
        q, k, v, bias = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: a second derivative will be asked for
            grad_wide, q_wide, k_wide, v_wide = (rows.to(sum_dtype(q.dtype)) for rows in (grad_y, q, k, v))
            gradients = gradients_with_matrix(grad_wide, q_wide, k_wide, v_wide, bias, ctx.scale)
            return *(gradient.to(q.dtype) for gradient in gradients), None, None
        q, k, v = (rows.detach().requires_grad_() for rows in (q, k, v))
        with torch.enable_grad():
            y = _attend(q, k, v, bias, ctx.scale)
        return *torch.autograd.grad(y, (q, k, v), grad_y), None, None
