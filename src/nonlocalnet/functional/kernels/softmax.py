"""The two kernels of the softmax between matrix products: rows of weights, and a tile of weights with its gradient."""

# pyright: reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from nonlocalnet.functional.kernels import INTERPRETED

_LONGEST_TILE = 8192


@triton.jit
def _softmax_rows(
    logits_ptr, bias_ptr, weights_ptr, normaliser_ptr, scale, rows, keys, BIASED: tl.constexpr, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    batch = row // rows
    logits_ptr += row * keys
    weights_ptr += row * keys
    highest = -float("inf")
    total = 0.0
    for start in range(0, keys, BLOCK):
        m = start + tl.arange(0, BLOCK)
        s = tl.load(logits_ptr + m, mask=m < keys, other=-float("inf")) * scale
        if BIASED:
            s += tl.load(bias_ptr + batch * keys + m, mask=m < keys, other=0.0)
        s = tl.where(m < keys, s, -float("inf"))
        higher = tl.maximum(highest, tl.max(s, axis=0))
        # Where everything so far is left out, "higher" is -inf: 0 stands for it, and the sum stays 0.
        base = tl.where(higher == -float("inf"), 0.0, higher)
        total = total * tl.exp(highest - base) + tl.sum(tl.exp(s - base), axis=0)
        highest = higher
    normaliser = highest + tl.log(total)
    tl.store(normaliser_ptr + row, normaliser)
    for start in range(0, keys, BLOCK):
        m = start + tl.arange(0, BLOCK)
        s = tl.load(logits_ptr + m, mask=m < keys, other=-float("inf")) * scale
        if BIASED:
            s += tl.load(bias_ptr + batch * keys + m, mask=m < keys, other=0.0)
        tl.store(weights_ptr + m, tl.exp(s - normaliser), mask=m < keys)


def softmax_of_logits(
    logits_BNM: Tensor, bias_B1M: Tensor | None, *, scale: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Softmax of scale times the logits plus the bias.

    Args:
        logits_BNM: (B, N, M) float32, contiguous.
        bias_B1M: (B, 1, M) float32 or None.
        scale: factor of the logits.
        dtype: the weights'.

    Returns:
        Weights (B, N, M) and the logarithm of each row's normaliser, (B, N, 1) float32.
    """
    batch, rows, keys = logits_BNM.shape
    weights = torch.empty_like(logits_BNM, dtype=dtype)
    normaliser = logits_BNM.new_empty(batch, rows, 1)
    block = min(triton.next_power_of_2(keys), _LONGEST_TILE)
    _softmax_rows[(batch * rows,)](
        logits_BNM, logits_BNM if bias_B1M is None else bias_B1M.contiguous(), weights, normaliser, scale, rows, keys,
        bias_B1M is not None, block, num_warps=max(1, min(8, block // 256)),
    )  # fmt: skip
    return weights, normaliser


@triton.jit
def _weights_and_gradients(
    q_ptr, k_ptr, v_ptr, grad_y_ptr, bias_ptr, normaliser_ptr, mean_ptr, weights_ptr, grad_logits_ptr,
    scale, rows, keys, channels, width, q_batch, grad_batch, row_batch,
    BIASED: tl.constexpr, WIDEN: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    m = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    batch = tl.program_id(2).to(tl.int64)
    q_ptr += batch * q_batch
    grad_y_ptr += batch * grad_batch
    logits = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for start in range(0, channels, BLOCK_C):
        c = start + tl.arange(0, BLOCK_C)
        q = tl.load(
            q_ptr + n[:, None].to(tl.int64) * channels + c[None, :],
            mask=(n[:, None] < rows) & (c[None, :] < channels), other=0.0,
        )  # fmt: skip
        k = tl.load(
            k_ptr + (batch * keys + m[None, :]) * channels + c[:, None],
            mask=(m[None, :] < keys) & (c[:, None] < channels), other=0.0,
        )  # fmt: skip
        if WIDEN:
            q, k = q.to(tl.float32), k.to(tl.float32)
        logits += tl.dot(q, k, input_precision="ieee")
    grad_weights = tl.zeros((BLOCK_N, BLOCK_M), tl.float32)
    for start in range(0, width, BLOCK_C):
        d = start + tl.arange(0, BLOCK_C)
        grad_y = tl.load(
            grad_y_ptr + n[:, None].to(tl.int64) * width + d[None, :],
            mask=(n[:, None] < rows) & (d[None, :] < width), other=0.0,
        )  # fmt: skip
        v = tl.load(
            v_ptr + (batch * keys + m[None, :]) * width + d[:, None],
            mask=(m[None, :] < keys) & (d[:, None] < width), other=0.0,
        )  # fmt: skip
        if WIDEN:
            grad_y, v = grad_y.to(tl.float32), v.to(tl.float32)
        grad_weights += tl.dot(grad_y, v, input_precision="ieee")
    normaliser = tl.load(normaliser_ptr + batch * row_batch + n, mask=n < rows, other=0.0)
    mean = tl.load(mean_ptr + batch * row_batch + n, mask=n < rows, other=0.0)
    exponent = logits * scale - normaliser[:, None]
    if BIASED:
        exponent += tl.load(bias_ptr + batch * keys + m, mask=m < keys, other=0.0)[None, :]
    weights = tl.exp(exponent)
    grad_logits = weights * (grad_weights - mean[:, None]) * scale
    place = (batch * rows + n[:, None]) * keys + m[None, :]
    inside = (n[:, None] < rows) & (m[None, :] < keys)
    tl.store(weights_ptr + place, weights, mask=inside)
    tl.store(grad_logits_ptr + place, grad_logits, mask=inside)


def weights_and_gradients(
    grad_y_BND: Tensor,
    q_BNC: Tensor,
    k_BMC: Tensor,
    v_BMD: Tensor,
    bias_B1M: Tensor | None,
    normaliser_BN1: Tensor,
    mean_BN1: Tensor,
    *,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """A chunk's weights P = exp(scale Q K^T + bias - normaliser) and dS = scale P (dY V^T - mean), both (B, N, M).

    The two products stay in registers, so that the logits are never rounded to half precision. The rows of q, grad_y,
    normaliser and mean may be a slice of longer tensors; k and v are whole and contiguous.
    """
    (batch, rows, channels), (_, keys, width) = q_BNC.shape, v_BMD.shape
    weights = q_BNC.new_empty(batch, rows, keys)
    grad_logits = torch.empty_like(weights)
    block_n, block_m = 128, 128 if keys > 64 else 64
    grid = (triton.cdiv(rows, block_n), triton.cdiv(keys, block_m), batch)
    _weights_and_gradients[grid](
        q_BNC, k_BMC, v_BMD, grad_y_BND, k_BMC if bias_B1M is None else bias_B1M.contiguous(), normaliser_BN1, mean_BN1,
        weights, grad_logits, scale, rows, keys, channels, width,
        q_BNC.stride(0), grad_y_BND.stride(0), normaliser_BN1.stride(0),
        bias_B1M is not None, INTERPRETED and q_BNC.dtype == torch.bfloat16, block_n, block_m, 64,
        num_warps=8, num_stages=3,
    )  # fmt: skip
    return weights, grad_logits
