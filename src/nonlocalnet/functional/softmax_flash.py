"""The softmax-weighted sum by PyTorch's flash attention for CPUs, which keeps a tile of weights in the cache.

Its backward pass starts from the forward's logarithm of the normaliser. It gives each set of positions to one thread,
so where sets are few for the threads there are, `nonlocalnet.functional.softmax_blocks` goes backward instead, from the
same logarithm. PyTorch's operators are inside registered ones, for `torch.compile` and FlopCounterMode as there.
Shape suffixes: B batch, N output positions, M summed positions, D channels of all three operands.
"""

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from nonlocalnet.functional import softmax_blocks
from nonlocalnet.functional.precision import without_autocast


def flash_softmax_sum(q_BND: Tensor, k_BMD: Tensor, v_BMD: Tensor, bias_B1M: Tensor | None, scale: float) -> Tensor:
    """softmax(scale Q K^T + bias) V on a CPU; the second derivative holds the N x M matrix."""
    return softmax_blocks.softmax_sum(q_BND, k_BMD, v_BMD, bias_B1M, scale, operator="flash_sum")[0]


def attend(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float, *, causal: bool = False
) -> tuple[Tensor, Tensor]:
    """Y (B, N, D) and the logarithm of each row's normaliser (B, N, 1); causal: row i over the keys up to i."""
    mask = None if bias is None else bias.unsqueeze(1)
    with without_autocast(q):
        y, normaliser = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            *_heads(q, k, v), 0.0, causal, attn_mask=mask, scale=scale
        )
    return y.squeeze(1).contiguous(), normaliser.reshape(*q.shape[:2], 1).contiguous()


def attend_backward(
    grad_y: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    y: Tensor,
    normaliser: Tensor,
    scale: float,
    *,
    causal: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The derivatives by Q, K and V, from what `attend` gave."""
    mask = None if bias is None else bias.unsqueeze(1)
    with without_autocast(q):
        gradients = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            *_heads(grad_y, q, k, v, y), normaliser.transpose(1, 2), 0.0, causal, attn_mask=mask, scale=scale
        )
    grad_q, grad_k, grad_v = (gradient.squeeze(1).contiguous() for gradient in gradients)
    return grad_q, grad_k, grad_v


def goes_backward(q: Tensor) -> bool:
    """Whether there are sets enough for the threads."""
    return 2 * len(q) >= torch.get_num_threads()


def _heads(*parts: Tensor) -> tuple[Tensor, ...]:
    """(B, 1, ...), channels side by side in memory: the kernels read others wrongly, without a word."""
    return tuple((part if part.stride(-1) == 1 else part.contiguous()).unsqueeze(1) for part in parts)


@torch.library.custom_op("nonlocalnet::flash_sum", mutates_args=())
def _forward(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
    return attend(q, k, v, bias, scale)


@torch.library.custom_op("nonlocalnet::flash_sum_backward", mutates_args=())
def _backward(
    grad_y: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, y: Tensor, normaliser: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    way = attend_backward if goes_backward(q) else softmax_blocks.backward
    return way(grad_y, q, k, v, bias, y, normaliser, scale)


@torch.library.register_fake("nonlocalnet::flash_sum")
def _forward_shapes(q: Tensor, _k: Tensor, v: Tensor, _bias: Tensor | None, _scale: float) -> tuple[Tensor, Tensor]:
    return v.new_empty(q.shape[0], q.shape[1], v.shape[2]), q.new_empty(q.shape[0], q.shape[1], 1)


@torch.library.register_fake("nonlocalnet::flash_sum_backward")
def _backward_shapes(_grad_y: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


register_flop_formula(torch.ops.nonlocalnet.flash_sum)(softmax_blocks.forward_flops)
register_flop_formula(torch.ops.nonlocalnet.flash_sum_backward)(softmax_blocks.backward_flops)
