"""Row by row products of two matrices, summed in float32: sum_d x_rd y_rd."""

# pyright: reportIndexIssue=false, reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS = 16


@triton.jit
def _row_dots(x_ptr, y_ptr, out_ptr, rows, width, y_stride, BLOCK_R: tl.constexpr, BLOCK_D: tl.constexpr):
    r = tl.program_id(0).to(tl.int64) * BLOCK_R + tl.arange(0, BLOCK_R)
    total = tl.zeros((BLOCK_R,), tl.float32)
    for start in range(0, width, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        inside = (r[:, None] < rows) & (d[None, :] < width)
        x = tl.load(x_ptr + r[:, None] * width + d[None, :], mask=inside, other=0.0).to(tl.float32)
        y = tl.load(y_ptr + r[:, None] * y_stride + d[None, :], mask=inside, other=0.0).to(tl.float32)
        total += tl.sum(x * y, axis=1)
    tl.store(out_ptr + r, total, mask=r < rows)


def row_dots(x: Tensor, y: Tensor) -> Tensor:
    """X (..., D) times y, (..., D) or one row (D,), summed over D in float32: (...)."""
    width = x.shape[-1]
    x, y = x.contiguous(), y.contiguous()
    out = torch.empty(x.shape[:-1], dtype=torch.float32, device=x.device)
    rows = out.numel()
    if rows:
        block = min(triton.next_power_of_2(width), 256)
        y_stride = 0 if y.ndim == 1 else width
        _row_dots[(triton.cdiv(rows, _ROWS),)](x, y, out, rows, width, y_stride, _ROWS, block, num_warps=4)
    return out
