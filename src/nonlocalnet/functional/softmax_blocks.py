"""The softmax-weighted sum, a block of output positions at a time.

    P = softmax(scale Q K^T + bias),  Y = P V                  (P is N x M and is never held whole)
    dV = P^T dY,  dP = dY V^T,  dS = P (dP - rowsum(dY Y)),  dQ = scale dS K,  dK = scale dS^T Q

The backward pass makes each block of P again from the forward's logarithm of the normaliser. Both passes are
registered operators, so that `torch.compile` keeps them whole, FlopCounterMode sees them, and no backend's choice
of kernel brings the matrix back (PyTorch's fused attention does so silently where D != C or the mask has 3
dimensions). The derivative is an `autograd.Function` around them: `register_autograd` fails under `torch.func`.
Shape suffixes: B batch, N output positions, M summed positions, C and D channels.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from nonlocalnet.functional.differentiable import apply
from nonlocalnet.functional.precision import without_autocast

# Weights held at a time: 16 MiB in float32; between 4 and 64 MiB the speed is the same. Fewer rows than LEAST_ROWS
# starve the matrix product.
BLOCK_WEIGHTS = 4 * 1024 * 1024
LEAST_ROWS = 64


def _blocks(batch: int, rows: int, keys: int) -> Iterator[tuple[slice, slice]]:
    """Slices of batch and rows that together cover (batch, rows), each of about BLOCK_WEIGHTS weights."""
    batch_step = max(1, BLOCK_WEIGHTS // max(1, rows * keys))
    row_step = max(LEAST_ROWS, BLOCK_WEIGHTS // (batch_step * keys))
    for b in range(0, batch, batch_step):
        for n in range(0, rows, row_step):
            yield slice(b, min(b + batch_step, batch)), slice(n, min(n + row_step, rows))


def softmax_sum(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float, *, operator: str = "softmax_sum"
) -> tuple[Tensor, Tensor]:
    """softmax(scale Q K^T + bias) V, and the logarithm of each row's normaliser, (B, N, 1), by a registered operator.

    The first is differentiable twice; the second derivative holds the N x M matrix.
    """
    return apply(_SoftmaxSum, q, k, v, bias, scale, operator)


@torch.library.custom_op("nonlocalnet::softmax_sum", mutates_args=())
def _forward(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
    with without_autocast(q):
        y_BND = v.new_empty(q.shape[0], q.shape[1], v.shape[2])
        normaliser_BN1 = q.new_empty(q.shape[0], q.shape[1], 1)
        for b, n in _blocks(q.shape[0], q.shape[1], k.shape[1]):
            logits = _logits(q[b, n], k[b], None if bias is None else bias[b], scale)
            highest = logits.amax(dim=-1, keepdim=True)
            weights = logits.sub_(highest).exp_()
            total = weights.sum(dim=-1, keepdim=True)
            y_BND[b, n] = torch.bmm(weights, v[b]).div_(total)
            normaliser_BN1[b, n] = total.log_().add_(highest)
        return y_BND, normaliser_BN1


@torch.library.custom_op("nonlocalnet::softmax_sum_backward", mutates_args=())
def backward(
    grad_y: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, y: Tensor, normaliser: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The derivatives by Q, K and V, each block of P made again from the logarithm of the normaliser."""
    with without_autocast(q):
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for b, n in _blocks(q.shape[0], q.shape[1], k.shape[1]):
            weights = _logits(q[b, n], k[b], None if bias is None else bias[b], scale)
            weights.sub_(normaliser[b, n]).exp_()
            grad_v[b].baddbmm_(weights.mT, grad_y[b, n])
            mean_BN1 = (grad_y[b, n] * y[b, n]).sum(dim=-1, keepdim=True)
            grad_logits = torch.bmm(grad_y[b, n], v[b].mT).sub_(mean_BN1).mul_(weights)
            grad_q[b, n] = torch.bmm(grad_logits, k[b]).mul_(scale)
            grad_k[b].baddbmm_(grad_logits.mT, q[b, n], alpha=scale)
        return grad_q, grad_k, grad_v


def _logits(q: Tensor, k: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    logits = torch.bmm(q, k.mT).mul_(scale)
    return logits if bias is None else logits.add_(bias)


@torch.library.register_fake("nonlocalnet::softmax_sum")
def _forward_shapes(q: Tensor, _k: Tensor, v: Tensor, _bias: Tensor | None, _scale: float) -> tuple[Tensor, Tensor]:
    return v.new_empty(q.shape[0], q.shape[1], v.shape[2]), q.new_empty(q.shape[0], q.shape[1], 1)


@torch.library.register_fake("nonlocalnet::softmax_sum_backward")
def _backward_shapes(_grad_y: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


class _SoftmaxSum(torch.autograd.Function):
    """A registered operator that gives Y and the normaliser's logarithm, and backward the one named after it."""

    @staticmethod
    def forward(
        q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float, operator: str
    ) -> tuple[Tensor, Tensor]:
        return getattr(torch.ops.nonlocalnet, operator)(q, k, v, bias, scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        q, k, v, bias, ctx.scale, ctx.operator = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(q, k, v, bias, *output)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, bias, y, normaliser = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: a second derivative will be asked for
            gradients = gradients_with_matrix(grad_outputs[0], q, k, v, bias, ctx.scale)
        else:
            backward_of = getattr(torch.ops.nonlocalnet, f"{ctx.operator}_backward")
            gradients = backward_of(grad_outputs[0], q, k, v, bias, y, normaliser, ctx.scale)
        return *gradients, None, None, None


def gradients_with_matrix(
    grad_y: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The derivatives of `softmax_sum` as products that can be differentiated again; N x M in memory."""
    with without_autocast(q):
        logits = torch.bmm(q, k.mT) * scale
        weights = torch.softmax(logits if bias is None else logits + bias, dim=-1)
        grad_weights = torch.bmm(grad_y, v.mT)
        grad_logits = weights * (grad_weights - (weights * grad_weights).sum(dim=-1, keepdim=True)) * scale
        return torch.bmm(grad_logits, k), torch.bmm(grad_logits.mT, q), torch.bmm(weights.mT, grad_y)


def forward_flops(q: list[int], k: list[int], v: list[int], *_: object, **__: object) -> int:
    """Two operations for each multiply-add of Q K^T and P V."""
    return 2 * q[0] * q[1] * k[1] * (q[2] + v[2])


def backward_flops(_: list[int], q: list[int], k: list[int], v: list[int], *__: object, **___: object) -> int:
    """Q K^T again, dS K and dS^T Q, each N M C; dY V^T and P^T dY, each N M D."""
    return 2 * q[0] * q[1] * k[1] * (3 * q[2] + 2 * v[2])


register_flop_formula(torch.ops.nonlocalnet.softmax_sum)(forward_flops)
register_flop_formula(torch.ops.nonlocalnet.softmax_sum_backward)(backward_flops)
