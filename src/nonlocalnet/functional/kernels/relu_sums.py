"""Both sums of the concatenation with its weights made in registers, tile by tile.

A tile of a_i + b_j is an outer sum, cut at 0 and rounded to g's dtype, and multiplied with a tile of g on the tensor
cores, which accumulate in float32; no weight is ever written. Measured on an H200 in bfloat16: 339 to 483 TFLOP/s, with
the second sum 410 to 529.
"""

# pyright: reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from nonlocalnet.functional.kernels import INTERPRETED


@triton.jit
def _relu_sums(
    a_ptr, b_ptr, g_ptr, y_ptr, counted_ptr, alpha, rows, keys, width,
    BOTH: tl.constexpr, WIDEN: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    batch = tl.program_id(2).to(tl.int64)
    a = tl.load(a_ptr + batch * rows + n, mask=n < rows, other=0.0)
    y = tl.zeros((BLOCK_N, BLOCK_D), tl.float32)
    counted = tl.zeros((BLOCK_N, BLOCK_D), tl.float32)
    for start in range(0, keys, BLOCK_M):
        m = start + tl.arange(0, BLOCK_M)
        b = tl.load(b_ptr + batch * keys + m, mask=m < keys, other=-float("inf"))
        inside = (m[:, None] < keys) & (d[None, :] < width)
        g = tl.load(g_ptr + (batch * keys + m[:, None]) * width + d[None, :], mask=inside, other=0.0)
        if WIDEN:
            g = g.to(tl.float32)
        pairs = a[:, None] + b[None, :]
        y += tl.dot(tl.maximum(pairs, 0.0).to(g.dtype), g, input_precision="ieee")
        if BOTH:
            counted += tl.dot((pairs > 0).to(g.dtype), g, input_precision="ieee")
    place = (batch * rows + n[:, None]) * width + d[None, :]
    inside = (n[:, None] < rows) & (d[None, :] < width)
    tl.store(y_ptr + place, y * alpha, mask=inside)
    if BOTH:
        tl.store(counted_ptr + place, counted * alpha, mask=inside)


def relu_sums_kernel(a_BN: Tensor, b_BM: Tensor, g_BMD: Tensor, *, alpha: float, both: bool) -> tuple[Tensor, Tensor]:
    """Alpha sum_j ReLU(a_i + b_j) g_j, and with `both` alpha times the sum of g_j over the j with a_i + b_j > 0.

    Args:
        a_BN: (B, N) float32.
        b_BM: (B, M) float32.
        g_BMD: (B, M, D), float16 or bfloat16 (float32 runs too, without tensor cores).
        alpha: multiplies the sums before they are rounded to g's dtype.
        both: whether the second sum is wanted.

    Returns:
        (B, N, D) in g's dtype, twice; the second is empty where it is not wanted.
    """
    (batch, rows), (_, keys, width) = a_BN.shape, g_BMD.shape
    a_BN, b_BM, g_BMD = a_BN.contiguous(), b_BM.contiguous(), g_BMD.contiguous()
    y = g_BMD.new_empty(batch, rows, width)
    counted = torch.empty_like(y) if both else y.new_empty(0)
    block_n, block_m, block_d, warps = _tile(width, both=both)
    grid = (triton.cdiv(rows, block_n), triton.cdiv(width, block_d), batch)
    widen = INTERPRETED and g_BMD.dtype == torch.bfloat16  # the interpreter's products of bfloat16 are wrong
    _relu_sums[grid](
        a_BN, b_BM, g_BMD, y, counted, alpha, rows, keys, width,
        both, widen, block_n, block_m, block_d, num_warps=warps, num_stages=3,
    )  # fmt: skip
    return y, counted


def _tile(width: int, *, both: bool) -> tuple[int, int, int, int]:
    """(rows, keys, width) of a tile and warps.

    On an H200, both sums and one sum, in ms: res3 (8, 6272, 1568, 256) 0.18 and 0.09, res4 (8, 1568, 392, 512) 0.04
    and 0.06, (1, 25088, 25088, 256) 1.22 and 0.63. Two accumulators of 128 x 256 do not fit the registers (0.82).
    """
    block_d = max(16, min(128, triton.next_power_of_2(width)))
    return 128, 32 if both else 64, block_d, 8
