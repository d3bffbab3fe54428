"""The softmax-weighted sum in half precision on a GPU, differentiable: by fused attention, or by chunks.

By cuDNN's fused attention or flash attention, which hold no weight outside the chip, or by
`nonlocalnet.functional.softmax_chunks`. The backward pass starts from the forward's logarithm of the normaliser and
never runs the forward again. A second derivative takes the N x M matrix.
Shape suffixes: B batch, N output positions, M summed positions, C and D channels.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from nonlocalnet.functional import softmax_chunks
from nonlocalnet.functional.differentiable import apply
from nonlocalnet.functional.precision import sum_dtype, without_autocast
from nonlocalnet.functional.softmax_blocks import gradients_with_matrix

Kernel = Literal["cudnn", "flash", "chunks"]


def fused_softmax_sum(
    q_BNC: Tensor, k_BMC: Tensor, v_BMD: Tensor, bias_B1M: Tensor | None, scale: float, *, kernel: Kernel
) -> Tensor:
    """softmax(scale Q K^T + bias) V in the operands' dtype.

    Args:
        q_BNC: (B, N, C).
        k_BMC: (B, M, C).
        v_BMD: (B, M, D).
        bias_B1M: (B, 1, M) float32, with "chunks" only; None for none.
        scale: factor of the logits.
        kernel: what runs the forward pass.
    """
    return apply(_FusedSoftmaxSum, q_BNC, k_BMC, v_BMD, bias_B1M, scale, kernel)[0]


def _attend(q: Tensor, k: Tensor, v: Tensor, scale: float, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """Y and the logarithm of the normaliser (B, N, 1), by PyTorch's operator of that kernel."""
    q, k, v = q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)
    if kernel == "cudnn":
        found = torch.ops.aten._scaled_dot_product_cudnn_attention(q, k, v, None, True, 0.0, False, False, scale=scale)
    else:
        found = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, 0.0, False, False, scale=scale)
    y, normaliser = found[0], found[1]
    return y.squeeze(1), normaliser.reshape(y.shape[0], y.shape[2], 1)


def _attend_backward(
    grad_y: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, normaliser: Tensor, scale: float, kernel: Kernel
) -> tuple[Tensor, Tensor, Tensor]:
    """The kernel's own backward pass from its logarithm of the normaliser."""
    rows, keys = q.shape[1], k.shape[1]
    grad_y, q, k, v, y = (part.unsqueeze(1) for part in (grad_y, q, k, v, y))
    unread = torch.empty((), dtype=torch.long, device=q.device)  # the dropout's random state
    if kernel == "cudnn":
        found = torch.ops.aten._scaled_dot_product_cudnn_attention_backward(
            grad_y, q, k, v, y, normaliser.unsqueeze(1), unread, unread, None, None, None, rows, keys, 0.0, False,
            scale=scale,
        )  # fmt: skip
    else:
        found = torch.ops.aten._scaled_dot_product_flash_attention_backward(
            grad_y, q, k, v, y, normaliser.reshape(len(q), 1, rows), None, None, rows, keys, 0.0, False, unread, unread,
            scale=scale,
        )  # fmt: skip
    return found[0].squeeze(1), found[1].squeeze(1), found[2].squeeze(1)


class _FusedSoftmaxSum(torch.autograd.Function):
    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float, kernel: Kernel
    ) -> tuple[Tensor, Tensor]:
        if kernel != "chunks":
            with without_autocast(q):
                return _attend(q, k, v, scale, kernel)
        if torch.compiler.is_compiling():
            return softmax_chunks.forward_traced(q, k, v, bias, scale)
        return softmax_chunks.forward_now(q, k, v, bias, scale, softmax_chunks.CHUNK_WEIGHTS)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        q, k, v, bias, ctx.scale, ctx.kernel = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(q, k, v, bias, *output)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        grad_y = grad_outputs[0]
        q, k, v, bias, y, normaliser = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative will be asked for
            grad_y, q, k, v = (part.to(sum_dtype(q.dtype)) for part in (grad_y, q, k, v))
            gradients = gradients_with_matrix(grad_y, q, k, v, bias, ctx.scale)
            return *(gradient.to(y.dtype) for gradient in gradients), None, None, None
        if ctx.kernel != "chunks":
            with without_autocast(q):
                return *_attend_backward(grad_y, q, k, v, y, normaliser, ctx.scale, ctx.kernel), None, None, None
        operands = (grad_y, q, k, v, bias, y, normaliser, ctx.scale)
        if torch.compiler.is_compiling():
            return *softmax_chunks.backward_traced(*operands), None, None, None
        return *softmax_chunks.backward_now(*operands, softmax_chunks.CHUNK_WEIGHTS), None, None, None
