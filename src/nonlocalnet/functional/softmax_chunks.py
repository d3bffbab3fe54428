"""The softmax-weighted sum in half precision on a GPU: chunks of weights between matrix products.

    S = Q K^T (float32)     P = softmax(scale S + bias)     Y = P V
    dV = P^T dY,  dP = dY V^T,  dS = scale P (dP - rowsum(dY Y)),  dQ = dS K,  dK = dS^T Q

The products of half-precision operands run on the tensor cores and accumulate in float32; the logits are never rounded
to half precision, since an error of a logit is an error of its weight by that factor. A chunk's weights stay in the
GPU's L2 cache between the products. Where the whole matrix is one chunk this is the textbook form. The backward pass
makes each chunk of P again from the forward's logarithm of the normaliser.

Shape suffixes: B batch, N output positions, M summed positions, C and D channels.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from nonlocalnet.functional import kernels
from nonlocalnet.functional.precision import sum_dtype, wide_bmm, without_autocast
from nonlocalnet.functional.row_dots import row_dots

# Weights in a chunk: 80 MiB in half precision and 160 in float32. Smaller chunks stay in the L2 cache, but on an H200
# their launches take longer than what the cache saves: forward and backward at (1, 25088, 6272, 256) took 0.69 and
# 1.15 ms with 40 Mi weights, 1.21 and 1.83 with 20 Mi, 2.29 and 3.27 with 10 Mi.
CHUNK_WEIGHTS = 40 * 1024 * 1024


def chunks_of(batch: int, rows: int, keys: int, *, weights: int) -> Iterator[tuple[slice, slice]]:
    """Slices of batch and rows that together cover (batch, rows): whole elements where one fits, else equal parts."""
    batch_step = max(1, weights // (rows * keys))
    parts = -(-rows * keys // weights)
    row_step = -(-rows // parts)
    for b in range(0, batch, batch_step):
        for n in range(0, rows, row_step):
            yield slice(b, min(b + batch_step, batch)), slice(n, min(n + row_step, rows))


def forward_now(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float, chunk: int
) -> tuple[Tensor, Tensor]:
    """Y (B, N, D) in the operands' dtype, and the logarithm of each row's normaliser, (B, N, 1) float32."""
    with without_autocast(q):
        batch, rows, keys = q.shape[0], q.shape[1], k.shape[1]
        if batch * rows * keys <= chunk:
            weights, normaliser = _weights(q, k, bias, scale)
            return torch.bmm(weights, v), normaliser
        y_BND = v.new_empty(batch, rows, v.shape[2])
        normaliser_BN1 = q.new_empty(batch, rows, 1, dtype=sum_dtype(q.dtype))
        for b, n in chunks_of(batch, rows, keys, weights=chunk):
            weights, normaliser_BN1[b, n] = _weights(q[b, n], k[b], None if bias is None else bias[b], scale)
            torch.bmm(weights, v[b], out=y_BND[b, n])
        return y_BND, normaliser_BN1


def _weights(q: Tensor, k: Tensor, bias: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
    logits = wide_bmm(q, k.mT)
    if kernels.run_on(q.device.type, q.device.index):
        from nonlocalnet.functional.kernels.softmax import softmax_of_logits

        return softmax_of_logits(logits, bias, scale=scale, dtype=q.dtype)
    return _plain_softmax(logits, bias, scale, q.dtype)


def _plain_softmax(logits: Tensor, bias: Tensor | None, scale: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    logits = logits * scale if bias is None else logits * scale + bias
    normaliser = logits.logsumexp(dim=-1, keepdim=True)
    return (logits - normaliser).exp().to(dtype), normaliser


def backward_now(
    grad_y: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, y: Tensor, normaliser: Tensor, scale: float,
    chunk: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """dQ, dK and dV in the operands' dtype."""
    with without_autocast(q):
        grad_y, q, k, v = grad_y.contiguous(), q.contiguous(), k.contiguous(), v.contiguous()
        batch, rows, keys = q.shape[0], q.shape[1], k.shape[1]
        mean_BN1 = row_dots(grad_y, y).unsqueeze(-1)
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        sums: dict[int, tuple[Tensor, Tensor]] = {}
        for b, n in chunks_of(batch, rows, keys, weights=chunk):
            weights, grad_logits = _weights_and_gradients(
                grad_y[b, n], q[b, n], k[b], v[b], None if bias is None else bias[b], normaliser[b, n], mean_BN1[b, n],
                scale,
            )  # fmt: skip
            torch.bmm(grad_logits, k[b], out=grad_q[b, n])
            if n.stop - n.start == rows:
                torch.bmm(grad_logits.mT, q[b], out=grad_k[b])
                torch.bmm(weights.mT, grad_y[b], out=grad_v[b])
                continue
            # Parts of the rows, one batch element at a time: summed in float32.
            parts = torch.bmm(grad_logits.mT, q[b, n]), torch.bmm(weights.mT, grad_y[b, n])
            if b.start in sums:
                for total, part in zip(sums[b.start], parts, strict=True):
                    total.add_(part)
            else:
                sums[b.start] = parts[0].to(sum_dtype(k.dtype)), parts[1].to(sum_dtype(v.dtype))
        for start, (sum_k, sum_v) in sums.items():
            grad_k[start : start + 1], grad_v[start : start + 1] = sum_k, sum_v
        return grad_q, grad_k, grad_v


def _weights_and_gradients(
    grad_y: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, normaliser: Tensor, mean: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    if kernels.run_on(q.device.type, q.device.index):
        from nonlocalnet.functional.kernels.softmax import weights_and_gradients

        return weights_and_gradients(grad_y, q, k, v, bias, normaliser, mean, scale=scale)
    return _plain_weights_and_gradients(grad_y, q, k, v, bias, normaliser, mean, scale)


def _plain_weights_and_gradients(
    grad_y: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, normaliser: Tensor, mean: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    exponent = wide_bmm(q, k.mT) * scale - normaliser
    weights = (exponent if bias is None else exponent + bias).exp()
    grad_logits = (wide_bmm(grad_y, v.mT) - mean) * weights * scale
    return weights.to(q.dtype), grad_logits.to(q.dtype)


def forward_traced(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
    """`forward_now` for a compiler: plain code where one chunk holds all, which it fuses, else the operator."""
    if q.shape[0] * q.shape[1] * k.shape[1] > CHUNK_WEIGHTS:
        return forward_operator(q, k, v, bias, scale, CHUNK_WEIGHTS)
    with without_autocast(q):
        weights, normaliser = _plain_softmax(wide_bmm(q, k.mT), bias, scale, q.dtype)
        return torch.bmm(weights, v), normaliser


def backward_traced(
    grad_y: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, y: Tensor, normaliser: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`backward_now` likewise."""
    if q.shape[0] * q.shape[1] * k.shape[1] > CHUNK_WEIGHTS:
        return backward_operator(grad_y, q, k, v, bias, y, normaliser, scale, CHUNK_WEIGHTS)
    with without_autocast(q):
        mean = row_dots(grad_y, y).unsqueeze(-1)
        weights, grad_logits = _plain_weights_and_gradients(grad_y, q, k, v, bias, normaliser, mean, scale)
        return torch.bmm(grad_logits, k), torch.bmm(grad_logits.mT, q), torch.bmm(weights.mT, grad_y)


forward_operator = torch.library.custom_op("nonlocalnet::softmax_chunks", forward_now, mutates_args=())
backward_operator = torch.library.custom_op("nonlocalnet::softmax_chunks_backward", backward_now, mutates_args=())


@forward_operator.register_fake
def _forward_shapes(q: Tensor, _k: Tensor, v: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    (batch, rows), width = q.shape[:2], v.shape[2]
    return v.new_empty(batch, rows, width), q.new_empty(batch, rows, 1, dtype=sum_dtype(q.dtype))


@backward_operator.register_fake
def _backward_shapes(_grad_y: Tensor, q: Tensor, k: Tensor, v: Tensor, *_: object) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


@register_flop_formula(torch.ops.nonlocalnet.softmax_chunks)
def _forward_flops(q: list[int], k: list[int], v: list[int], *_: object, **__: object) -> int:
    """Two operations for each multiply-add of Q K^T and P V."""
    return 2 * q[0] * q[1] * k[1] * (q[2] + v[2])


@register_flop_formula(torch.ops.nonlocalnet.softmax_chunks_backward)
def _backward_flops(_: list[int], q: list[int], k: list[int], v: list[int], *__: object, **___: object) -> int:
    """Q K^T again, dS K and dS^T Q, each N M C; dY V^T and P^T dY, each N M D."""
    return 2 * q[0] * q[1] * k[1] * (3 * q[2] + 2 * v[2])
