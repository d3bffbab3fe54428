"""sum_j ReLU(a_i + b_j) g_j for every i by one sort of the keys, prefix sums, and one binary search per a_i.

With the keys in ascending order of c_j = -b_j, the pairs that count for i are the first k of them, c_j < a_i:

    counted_i = S[k],                  S[k] = sum_{j<k} g_j
    y_i = U[k] + (a_i - c[k-1]) S[k],  U[k] = sum_{j<k} (c[k-1] - c_j) g_j

U holds differences of neighbouring c, never c itself: the obvious a_i S[k] - sum c_j g_j subtracts two large numbers
where a and c are large beside their spread. S and U are built in blocks of keys: (BLOCK x BLOCK) matrices inside a
block, float64 running totals from block to block, so that 200,000 float32 terms lose no digits.

    c     0.1 0.3 0.3 0.8 | 1.0 1.1 ...         two blocks of 4
    a_i               0.9                       k = 4: S[4] = g_0 + g_1 + g_2 + g_3

Many keys on a CPU go in segments of the sorted order, with the totals carried from one to the next: the tables of a
segment stay in the cache, and are read by its own queries, which are sorted too.

Shape suffixes: B batch, N output positions (a), M summed positions (b), D channels; L blocks of K keys, X = K + 2 and
Y = 2 K rows of a block's small matrices.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nonlocalnet.functional.ascending import ascending

# Keys in a block: 8 to 64 run within a tenth of each other at N = M = 6272, D = 256.
BLOCK = 32
# Keys in a segment; 2^12 to 2^15 run within a quarter of each other at 2^20 keys, D = 32. Below four segments, or for
# wide g, they are no faster than all keys at once.
SEGMENT = 2**14


class _Totals(NamedTuple):
    """What all keys before a place add up to, (B, 1, D) float64: S and U there."""

    s: Tensor
    u: Tensor


def sorted_sums(a_BN: Tensor, b_BM: Tensor, g_BMD: Tensor, *, both: bool = True) -> tuple[Tensor, Tensor]:
    """(sum_j ReLU(a_i + b_j) g_j, sum over the j with a_i + b_j > 0 of g_j); the second is empty where not wanted."""
    # Rows are read in another order, and a channel-first map's rows are strided: ten times slower one by one.
    g_BMD = g_BMD.contiguous()
    if g_BMD.device.type != "cpu" or b_BM.shape[1] <= 4 * SEGMENT:
        return _at_once(a_BN, b_BM, g_BMD, both=both)
    elements = zip(a_BN.split(1), b_BM.split(1), g_BMD.split(1), strict=True)
    y, counted = zip(*(_in_segments(*element, both=both) for element in elements), strict=True)
    return (y[0], counted[0]) if len(y) == 1 else (torch.cat(y), torch.cat(counted))


def _at_once(a_BN: Tensor, b_BM: Tensor, g_BMD: Tensor, *, both: bool) -> tuple[Tensor, Tensor]:
    c_BM, order_BM = ascending(-b_BM)
    # k of each a_i; the tables start with the empty sum, so k is also the place to read.
    k_BN = torch.searchsorted(c_BM, a_BN.contiguous())
    c_BLK, g_BLXD = _in_blocks(c_BM[:, :1], c_BM, order_BM, g_BMD)
    tables_BLYD, _ = _tables(c_BLK, g_BLXD, _none_before(g_BMD))
    y_BND, counted_BND = _read(tables_BLYD, c_BLK, a_BN, k_BN)
    return y_BND, counted_BND if both else g_BMD.new_empty(0)


def _in_segments(a_1N: Tensor, b_1M: Tensor, g_1MD: Tensor, *, both: bool) -> tuple[Tensor, Tensor]:
    """The same of one batch element, a segment of the sorted keys at a time."""
    c_1M, order_1M = ascending(-b_1M)
    a_1N, order_1N = ascending(a_1N)
    k_1N = torch.searchsorted(c_1M, a_1N)
    queries, keys = a_1N.shape[1], c_1M.shape[1]
    y_1ND = g_1MD.new_empty(1, queries, g_1MD.shape[2])
    counted_1ND = torch.empty_like(y_1ND) if both else g_1MD.new_empty(0)
    ends = torch.searchsorted(k_1N[0], torch.arange(SEGMENT, keys + SEGMENT, SEGMENT), right=True).tolist()
    before, begin = _none_before(g_1MD), 0
    for first, end in zip(range(0, keys, SEGMENT), ends, strict=True):
        part = slice(first, first + SEGMENT)
        front_11 = c_1M[:, max(first - 1, 0), None]
        c_1LK, g_1LXD = _in_blocks(front_11, c_1M[:, part], order_1M[:, part], g_1MD)
        tables_1LYD, before = _tables(c_1LK, g_1LXD, before)
        here = slice(begin, end)
        y_here, counted_here = _read(tables_1LYD, c_1LK, a_1N[:, here], k_1N[:, here] - first)
        y_1ND[:, here] = y_here
        if both:
            counted_1ND[:, here] = counted_here
        begin = end
    # Back in the queries' own order by reading: writing rows at places takes longer.
    place_1N = torch.empty_like(order_1N).scatter_(1, order_1N, torch.arange(queries).unsqueeze(0))
    y_1ND = F.embedding(place_1N, y_1ND[0])
    return y_1ND, F.embedding(place_1N, counted_1ND[0]) if both else counted_1ND


def _none_before(g_BMD: Tensor) -> _Totals:
    zeros = g_BMD.new_zeros(g_BMD.shape[0], 1, g_BMD.shape[2], dtype=torch.float64)
    return _Totals(zeros, zeros)


def _read(tables_BLYD: Tensor, c_BLK: Tensor, a_BN: Tensor, k_BN: Tensor) -> tuple[Tensor, Tensor]:
    """Y and counted of the queries, where k says how many keys of these blocks count."""
    block_BN = k_BN // BLOCK + _batch_offset(k_BN, c_BLK.shape[1])
    row_BN = block_BN * (2 * BLOCK) + k_BN % BLOCK
    rows = tables_BLYD.flatten(0, 2)
    counted_BND = F.embedding(row_BN, rows)
    beyond_BN1 = (a_BN - c_BLK.flatten(1).gather(1, k_BN)).unsqueeze(2)
    return F.embedding(row_BN.add_(BLOCK), rows).addcmul_(beyond_BN1, counted_BND), counted_BND


def _batch_offset(index_BX: Tensor, rows: int) -> Tensor:
    """(B, 1): what turns a row number inside a batch element into one over the whole batch."""
    return torch.arange(index_BX.shape[0], device=index_BX.device).unsqueeze(1) * rows


def _in_blocks(front_B1: Tensor, c_BM: Tensor, order_BM: Tensor, g_BMD: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted keys in L blocks of K: c (B, L, K), and g (B, L, K + 2, D) with two places more, for `_tables`.

    An empty key (g = 0) stands in front, at the place of the last one before; the last block ends in copies of c with
    g = 0, which nobody reads.

    Args:
        front_B1: c of the empty key.
        c_BM: These keys.
        order_BM: Where they stand in g.
        g_BMD: All of g.
    """
    batch, keys = c_BM.shape
    blocks = keys // BLOCK + 1
    fill = blocks * BLOCK - keys - 1
    c_BLK = torch.cat([front_B1, c_BM, c_BM[:, -1:].expand(batch, fill)], dim=1).unflatten(1, (blocks, BLOCK))
    index_BLX = F.pad(F.pad(order_BM, (1, fill)).unflatten(1, (blocks, BLOCK)), (0, 2))
    index_BLX += _batch_offset(order_BM, g_BMD.shape[1]).unsqueeze(2)
    g_BLXD = F.embedding(index_BLX, g_BMD.flatten(0, 1))
    g_BLXD[:, 0, 0] = 0.0
    g_BLXD[:, -1, BLOCK - fill : BLOCK] = 0.0
    return c_BLK, g_BLXD


def _tables(c_BLK: Tensor, g_BLXD: Tensor, before: _Totals) -> tuple[Tensor, _Totals]:
    """(B, L, 2K, D): for every key of a block S, then for every key U, both up to and with that key; and the totals.

    A product of small matrices per block; the sums before the block come in through g's two last places.
    """
    g_BLKD = g_BLXD[:, :, :BLOCK]
    start_BL1 = c_BLK[..., :1]
    next_BL1 = torch.cat([start_BL1[:, 1:], c_BLK[:, -1:, -1:]], dim=1)
    weights_BL2K = torch.stack([torch.ones_like(c_BLK), next_BL1 - c_BLK], dim=2)
    of_g_BLD, of_gaps_BLD = _batched(weights_BL2K, g_BLKD).double().unbind(dim=2)
    s_BLD = of_g_BLD.cumsum(dim=1).add_(before.s)
    s_before_BLD = s_BLD - of_g_BLD
    growth_BLD = of_gaps_BLD.addcmul_((next_BL1 - start_BL1).double(), s_before_BLD)
    u_BLD = growth_BLD.cumsum(dim=1).add_(before.u)
    g_BLXD[:, :, BLOCK], g_BLXD[:, :, BLOCK + 1] = s_before_BLD, u_BLD - growth_BLD
    return _batched(_weights(c_BLK), g_BLXD), _Totals(s_BLD[:, -1:], u_BLD[:, -1:])


def _weights(c_BLK: Tensor) -> Tensor:
    """(B, L, 2K, K + 2): what a block's g and the sums before it count in its S and U."""
    weights_BLYX = c_BLK.new_zeros(*c_BLK.shape[:2], 2 * BLOCK, BLOCK + 2)
    of_s, of_u = weights_BLYX.split(BLOCK, dim=2)
    of_s[..., :BLOCK] = torch.ones(BLOCK, BLOCK, dtype=c_BLK.dtype, device=c_BLK.device).tril_()
    of_s[..., BLOCK] = 1.0
    # The keys ascend: what is below 0 is a later key's.
    torch.sub(c_BLK.unsqueeze(3), c_BLK.unsqueeze(2), out=of_u[..., :BLOCK]).clamp_min_(0.0)
    of_u[..., BLOCK] = c_BLK - c_BLK[..., :1]
    of_u[..., BLOCK + 1] = 1.0
    return weights_BLYX


def _batched(left: Tensor, right: Tensor) -> Tensor:
    """Matrix products over two batch dimensions, without the copy torch.matmul makes of a strided operand."""
    return torch.bmm(left.flatten(0, 1), right.flatten(0, 1)).unflatten(0, left.shape[:2])
