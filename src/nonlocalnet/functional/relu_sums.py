"""sum_j ReLU(a_i + b_j) g_j for every i without the pairs: one sort, prefix sums, one binary search per a_i.

With the keys in ascending order of c_j = -b_j, the pairs that count for i are the first k of them, c_j < a_i:

    counted_i = S[k],                  S[k] = sum_{j<k} g_j
    y_i = U[k] + (a_i - c[k-1]) S[k],  U[k] = sum_{j<k} (c[k-1] - c_j) g_j

U holds differences of neighbouring c, never c itself: the obvious a_i S[k] - sum c_j g_j subtracts two large numbers
where a and c are large beside their spread. S and U are built in blocks of keys: (BLOCK x BLOCK) matrices inside a
block, float64 running totals from block to block, so that 200,000 float32 terms lose no digits.

    c     0.1 0.3 0.3 0.8 | 1.0 1.1 ...         two blocks of 4
    a_i               0.9                       k = 4: S[4] = g_0 + g_1 + g_2 + g_3

The derivatives are sums of the same kind with the sides exchanged, so the function differentiates into itself to any
order. On a GPU a fused kernel makes the weights tile by tile instead (`nonlocalnet.functional.kernels.relu_sums`); both
stand behind the operator ``nonlocalnet::relu_sums``. Ties a_i = c_j are not counted: torch.relu's derivative at 0 is
0. Shape suffixes: B batch, N output positions (a), M summed positions (b), D channels; L blocks of K keys, X = K + 2
and Y = 2 K rows of a block's small matrices.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from nonlocalnet.functional.differentiable import apply
from nonlocalnet.functional.precision import without_autocast
from nonlocalnet.functional.row_dots import row_dots

# Keys in a block: 8 to 64 run within a tenth of each other at N = M = 6272, D = 256.
BLOCK = 32


def relu_sum(a_BN: Tensor, b_BM: Tensor, g_BMD: Tensor, *, alpha: float = 1.0, fused: bool = False) -> Tensor:
    """Alpha sum_j ReLU(a_i + b_j) g_j, (B, N, D), differentiable to any order, no N x M matrix in any of them.

    Args:
        a_BN: (B, N), in g's dtype, or float32 for a g in half precision.
        b_BM: (B, M), in a's dtype.
        g_BMD: (B, M, D).
        alpha: multiplies the sums before they are rounded to g's dtype: 1 / M keeps float16 sums from overflowing.
        fused: by the kernel for GPUs, not by sorting.
    """
    return apply(_ReluSums, a_BN, b_BM, g_BMD, alpha, fused)[0]


def sums(
    a_BN: Tensor, b_BM: Tensor, g_BMD: Tensor, *, alpha: float, fused: bool, both: bool = True
) -> tuple[Tensor, Tensor]:
    """Both sums, without a derivative: `relu_sum`, and alpha times the sum over the j with a_i + b_j > 0 of g_j.

    The second may be anything where it is not wanted (`both`): only derivatives need it.
    """
    # The kernel is launched without the operator's overhead where nobody needs to see the operator.
    if fused and g_BMD.is_cuda and not torch.compiler.is_compiling():
        return _sums_now(a_BN, b_BM, g_BMD, alpha, fused, both)
    return _sums(a_BN, b_BM, g_BMD, alpha, fused, both)


class _ReluSums(torch.autograd.Function):
    @staticmethod
    def forward(a: Tensor, b: Tensor, g: Tensor, alpha: float, fused: bool) -> tuple[Tensor, Tensor]:
        return sums(a, b, g, alpha=alpha, fused=fused)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        a, b, g, ctx.alpha, ctx.fused = inputs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(a, b, g, output[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        grad_y, grad_counted = grad_outputs
        a, b, g, counted = ctx.saved_tensors
        grad_a = grad_b = grad_g = None
        if grad_y is not None:
            grad_g, counted_by_key = apply(_ReluSums, b, a, grad_y, ctx.alpha, ctx.fused)
            grad_a, grad_b = row_dots(grad_y, counted), row_dots(g, counted_by_key)
        if grad_counted is not None:  # only in derivatives of derivatives
            steps_g = apply(_ReluSums, b, a, grad_counted, ctx.alpha, ctx.fused)[1]
            grad_g = steps_g if grad_g is None else grad_g + steps_g
        return grad_a, grad_b, grad_g, None, None


def _sums_now(a: Tensor, b: Tensor, g: Tensor, alpha: float, fused: bool, both: bool) -> tuple[Tensor, Tensor]:
    """Alpha times (sum_j ReLU(a_i + b_j) g_j, sum over the j with a_i + b_j > 0 of g_j)."""
    if 0 in (a.numel(), b.numel()):  # no rows, or (in the backward pass of no rows) no keys
        return g.new_zeros(*a.shape, g.shape[2]), g.new_zeros(*a.shape, g.shape[2])
    with without_autocast(g):
        if fused:
            from nonlocalnet.functional.kernels.relu_sums import relu_sums_kernel

            return relu_sums_kernel(a, b, g, alpha=alpha, both=both)
        y_BND, counted_BND = _sorted_sums(a, b, g)
        return (y_BND, counted_BND) if alpha == 1.0 else (y_BND.mul_(alpha), counted_BND.mul_(alpha))


_sums = torch.library.custom_op("nonlocalnet::relu_sums", _sums_now, mutates_args=())


def _sorted_sums(a: Tensor, b: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    c_BM, order_BM = torch.sort(-b, dim=1)
    # k of each a_i; the tables start with the empty sum, so k is also the place to read.
    k_BN = torch.searchsorted(c_BM, a.contiguous())
    c_BLK, g_BLXD = _in_blocks(c_BM, order_BM, g)
    tables_BLYD = _tables(c_BLK, g_BLXD)
    block_BN = k_BN // BLOCK + _batch_offset(k_BN, c_BLK.shape[1])
    row_BN = block_BN * (2 * BLOCK) + k_BN % BLOCK
    rows = tables_BLYD.flatten(0, 2)
    counted_BND = F.embedding(row_BN, rows)
    beyond_BN1 = (a - c_BLK.flatten(1).gather(1, k_BN)).unsqueeze(2)
    y_BND = F.embedding(row_BN.add_(BLOCK), rows).addcmul_(beyond_BN1, counted_BND)
    return y_BND, counted_BND


def _batch_offset(index_BX: Tensor, rows: int) -> Tensor:
    """(B, 1): what turns a row number inside a batch element into one over the whole batch."""
    return torch.arange(index_BX.shape[0], device=index_BX.device).unsqueeze(1) * rows


def _in_blocks(c_BM: Tensor, order_BM: Tensor, g_BMD: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted keys in L blocks of K: c (B, L, K), and g (B, L, K + 2, D) with two places more, for `_tables`.

    An empty key (g = 0) stands in front; the last block ends in copies that nobody reads.
    """
    batch, keys, channels = g_BMD.shape
    blocks = keys // BLOCK + 1
    fill = blocks * BLOCK - keys - 1
    c_BLK = torch.cat([c_BM[:, :1], c_BM, c_BM[:, -1:].expand(batch, fill)], dim=1).unflatten(1, (blocks, BLOCK))
    index_BLX = F.pad(F.pad(order_BM, (1, fill)).unflatten(1, (blocks, BLOCK)), (0, 2))
    index_BLX += _batch_offset(order_BM, keys).unsqueeze(2)
    g_BLXD = F.embedding(index_BLX, g_BMD.reshape(batch * keys, channels))
    g_BLXD[:, 0, 0] = 0.0
    return c_BLK, g_BLXD


def _tables(c_BLK: Tensor, g_BLXD: Tensor) -> Tensor:
    """(B, L, 2K, D): for every key of a block S, then for every key U, both up to and with that key.

    A product of small matrices per block; the sums before the block come in through g's two last places.
    """
    g_BLKD = g_BLXD[:, :, :BLOCK]
    start_BL1 = c_BLK[..., :1]
    next_BL1 = torch.cat([start_BL1[:, 1:], c_BLK[:, -1:, -1:]], dim=1)
    weights_BL2K = torch.stack([torch.ones_like(c_BLK), next_BL1 - c_BLK], dim=2)
    of_g_BLD, of_gaps_BLD = _batched(weights_BL2K, g_BLKD).double().unbind(dim=2)
    s_before_BLD = of_g_BLD.cumsum(dim=1) - of_g_BLD
    growth_BLD = of_gaps_BLD.addcmul_((next_BL1 - start_BL1).double(), s_before_BLD)
    u_before_BLD = growth_BLD.cumsum(dim=1) - growth_BLD
    g_BLXD[:, :, BLOCK], g_BLXD[:, :, BLOCK + 1] = s_before_BLD, u_before_BLD
    weights_BLYX = c_BLK.new_zeros(*c_BLK.shape[:2], 2 * BLOCK, BLOCK + 2)
    weights_BLYX[:, :, :BLOCK, :BLOCK] = 1.0
    weights_BLYX[:, :, BLOCK:, :BLOCK] = c_BLK.unsqueeze(3) - c_BLK.unsqueeze(2)
    weights_BLYX.unflatten(2, (2, BLOCK))[..., :BLOCK].tril_()
    weights_BLYX[:, :, :BLOCK, BLOCK] = 1.0
    weights_BLYX[:, :, BLOCK:, BLOCK] = c_BLK - start_BL1
    weights_BLYX[:, :, BLOCK:, BLOCK + 1] = 1.0
    return _batched(weights_BLYX, g_BLXD)


def _batched(left: Tensor, right: Tensor) -> Tensor:
    """Matrix products over two batch dimensions, without the copy torch.matmul makes of a strided operand."""
    return torch.bmm(left.flatten(0, 1), right.flatten(0, 1)).unflatten(0, left.shape[:2])


@_sums.register_fake
def _sums_shapes(a: Tensor, _b: Tensor, g: Tensor, _alpha: float, fused: bool, both: bool) -> tuple[Tensor, Tensor]:
    shape = (*a.shape, g.shape[2])
    return g.new_empty(shape), g.new_empty(shape if both or not fused else 0)


@register_flop_formula(torch.ops.nonlocalnet.relu_sums)
def _flops(
    a_shape: list[int], _b_shape: list[int], g_shape: list[int], _alpha: float, fused: bool, both: bool, **_: object
) -> int:
    """Fused: two products with g. Sorted: two prefix sums of g and two reads of them: the work of the method."""
    batch, keys, channels = g_shape
    if fused:
        return (2 if both else 1) * batch * 2 * a_shape[1] * keys * channels
    return 2 * batch * 2 * (a_shape[1] + keys) * channels
