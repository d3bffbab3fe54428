"""Blocks of keys that each query chooses by their mean: the query-dependent rival of the learned positions.

    keys       | 0 1 2 3 | 4 5 6 7 | 8 9 ...        block means m_0, m_1, m_2 ...
    query i    the `count` blocks with the highest theta_i . m_b; all of their keys

The choice is that of mixture of block attention (Lu et al., "MoBA", arXiv 2502.13189): hard, without a gradient of its
own; a causal query's own block is always among its own. Here as a comparison: the rows of weights are dense, a part of
them at a time, so that its time still grows with N M.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nonlocalnet.functional.checks import check_at_least, checked_seen
from nonlocalnet.functional.index_sets.allowed import allowed_rows
from nonlocalnet.functional.index_sets.parts import HELD, in_parts
from nonlocalnet.functional.masking import all_kept, zero_masked
from nonlocalnet.functional.pairwise import Pairwise, row_of
from nonlocalnet.functional.precision import in_dtype, result_dtype, sum_dtype, without_autocast


def key_blocks_sum(
    pairwise: Pairwise,
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    *,
    size: int,
    count: int,
    causal: bool = False,
    seen_N: Tensor | None = None,
    w_f: Tensor | None = None,
    scale: float = 1.0,
    key_mask: Tensor | None = None,
) -> Tensor:
    """y_i = 1 / C_i sum f(x_i, x_j) g_j over the keys of the `count` blocks of `size` that i likes best.

    Args:
        pairwise: One of `PAIRWISE`.
        theta_BNC: (B, N, C), x for "gaussian".
        phi_BMC: (B, M, C), x for "gaussian".
        g_BMD: (B, M, D).
        size: Keys of a block, at least 1; the last block may hold fewer.
        count: Blocks for each query, at least 1; all where there are no more.
        causal: Whether a query chooses among what it has seen: the block that it is in, of which it sums over what it
            has seen (if any of that is kept), and whole blocks before.
        seen_N: As in `causal_sum`; only where causal.
        w_f: (2C,), for "concatenation" only.
        scale: Factor of the logits, for the Gaussian forms only.
        key_mask: (B, M) bool; keys with False are left out.

    Returns:
        y, (B, N, D), in the operands' dtype; 0 where nothing is kept.

    Raises:
        ValueError: As the function of that name; size or count is less than 1; seen_N is given and not causal.
    """
    row = row_of(pairwise)
    row.check(theta_BNC, phi_BMC, g_BMD, w_f=w_f, scale=scale, key_mask=key_mask)
    check_at_least("size", size, 1)
    check_at_least("count", count, 1)
    queries, keys = theta_BNC.shape[1], phi_BMC.shape[1]
    if seen_N is not None and not causal:
        raise ValueError("seen_N says what each query has seen: it goes with causal=True")
    seen_N = checked_seen(seen_N, queries, keys, theta_BNC.device) if causal else None
    dtype = result_dtype(theta_BNC, phi_BMC, g_BMD)
    with without_autocast(g_BMD):
        theta, phi, g = in_dtype(sum_dtype(dtype), theta_BNC, phi_BMC, g_BMD)
        phi, g = zero_masked(phi, key_mask), zero_masked(g, key_mask)
        w_f = None if w_f is None else w_f.to(g.dtype)
        kept_BM = all_kept(phi) if key_mask is None else key_mask
        if queries == 0:
            return theta.new_zeros(len(g), 0, g.shape[2]).to(dtype)
        means = block_means(phi, kept_BM, size)

        step = max(1, HELD // max(1, len(theta) * keys))
        numbers_1N = torch.arange(queries, device=theta.device).unsqueeze(0)

        def some(theta: Tensor, numbers_1Q: Tensor, phi: Tensor, g: Tensor, w_f: Tensor | None) -> Tensor:
            seen_Q = None if seen_N is None else seen_N[numbers_1Q[0]]
            allowed = liked_keys(theta, means, kept_BM, seen_Q, size=size, count=count)
            return torch.bmm(allowed_rows(row, theta, phi, allowed, w_f=w_f, scale=scale), g)

        return in_parts(some, (theta, numbers_1N), (phi, g, w_f), step=step).to(dtype)


class BlockMeans(NamedTuple):
    """What queries choose blocks by.

    Attributes:
        means_BbC: The mean of the kept keys of each block; without a gradient.
        filled_Bb: bool, whether it has any.
    """

    means_BbC: Tensor
    filled_Bb: Tensor


def block_means(phi_BMC: Tensor, kept_BM: Tensor, size: int) -> BlockMeans:
    """Of blocks of `size` keys, the last may hold fewer."""
    more = -phi_BMC.shape[1] % size
    rows_BMC = zero_masked(phi_BMC.detach(), kept_BM)
    sums_BbC = F.pad(rows_BMC, (0, 0, 0, more)).unflatten(1, (-1, size)).sum(dim=2)
    counts_Bb = F.pad(kept_BM, (0, more)).unflatten(1, (-1, size)).sum(dim=2)
    return BlockMeans(sums_BbC / counts_Bb.clamp_min(1).unsqueeze(2), counts_Bb > 0)


def liked_keys(
    theta_BQC: Tensor, blocks: BlockMeans, kept_BM: Tensor, seen_Q: Tensor | None, *, size: int, count: int
) -> Tensor:
    """(B, Q, M) bool, the keys that `key_blocks_sum` takes for each query; `seen_Q` None: not causal."""
    liked_BQb = torch.bmm(theta_BQC.detach(), blocks.means_BbC.mT)
    may_BQb = blocks.filled_Bb.unsqueeze(1).expand_as(liked_BQb)
    if seen_Q is not None:
        numbers = torch.arange(liked_BQb.shape[2], device=liked_BQb.device)
        begin_Q = (seen_Q - 1).clamp_min(0) // size * size
        own_Qb = numbers == (begin_Q // size)[:, None]
        whole_Qb = (numbers + 1) * size <= seen_Q[:, None]
        # An own block whose first kept key is yet to come is none: it would take a place for nothing.
        kept_before_BM = F.pad(kept_BM.cumsum(dim=1), (1, 0))
        begun_BQ = kept_before_BM[:, seen_Q] > kept_before_BM[:, begin_Q]
        may_BQb = may_BQb & whole_Qb | (own_Qb & begun_BQ.unsqueeze(2))
        liked_BQb = liked_BQb.masked_fill(own_Qb, float("inf"))
    ranked = liked_BQb.masked_fill(~may_BQb, float("-inf")).sort(dim=2, descending=True, stable=True).indices
    best = ranked[..., :count]
    # A tensor of True: `torch.jit.trace` has no scatter of a number into bool.
    first_BQb = torch.zeros_like(may_BQb).scatter(2, best, torch.ones_like(best, dtype=torch.bool)) & may_BQb
    places = torch.arange(kept_BM.shape[1], device=kept_BM.device)
    keys_BQM = first_BQb[:, :, places // size] & kept_BM.unsqueeze(1)
    return keys_BQM if seen_Q is None else keys_BQM & (places < seen_Q[:, None])
