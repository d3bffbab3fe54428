"""Which keys asked positions look at, and their p: the rows that a figure shows, Q x M."""

from __future__ import annotations

import torch
from torch import Tensor

from nonlocalnet.functional.index_sets.chosen import number_of
from nonlocalnet.functional.index_sets.sparsek import check_k, kept_or_all, over_threshold, rankable


def window_keys(asked_Q: Tensor, positions: int, *, window: int, dilation: int, causal: bool) -> Tensor:
    """(Q, N) bool: the positions that `windowed_sum` takes for each of the asked."""
    ahead_QN = torch.arange(positions, device=asked_Q.device) - asked_Q[:, None]
    inside = (ahead_QN.abs() <= window * dilation) & (ahead_QN % dilation == 0)
    return inside & (ahead_QN <= 0) if causal else inside


def chosen_keys(
    u_BM: Tensor,
    k: int,
    *,
    fewer_B: Tensor | None = None,
    kept: Tensor | None = None,
    seen_Q: Tensor | None = None,
    hard: bool = False,
) -> tuple[Tensor, Tensor]:
    """What `chosen_sum` takes, or `causal_chosen_sum` for positions that have seen the first `seen_Q` keys.

    Args:
        u_BM: Scores, (B, M).
        k: How many are chosen, at least 1.
        fewer_B: As `chosen_sum` takes it.
        kept: (B, M) bool, False where a key may not be chosen.
        seen_Q: (Q,) int64; None: all keys, one row for every position.
        hard: p is 1 for the chosen.

    Returns:
        Chosen (B, Q or 1, M) bool, and p of the same shape, 0 at the others.

    Raises:
        ValueError: k is less than 1.
    """
    check_k(k)
    batch, keys = u_BM.shape
    kept = kept_or_all(u_BM, kept)
    seen_Q = torch.tensor([keys], device=u_BM.device) if seen_Q is None else seen_Q
    may_BQM = kept.unsqueeze(1) & (torch.arange(keys, device=u_BM.device) < seen_Q[:, None])
    ranked_BM = rankable(u_BM, kept).sort(dim=1, descending=True, stable=True).indices
    ranked_BQM = ranked_BM.unsqueeze(1).expand_as(may_BQM)
    in_order = may_BQM.gather(2, ranked_BQM)
    first = in_order & (in_order.cumsum(dim=2) <= (k if fewer_B is None else fewer_B[:, None, None]))
    chosen_BQM = torch.zeros_like(may_BQM).scatter(2, ranked_BQM, first)
    if hard:
        return chosen_BQM, chosen_BQM.to(u_BM.dtype)
    u_RM = u_BM.unsqueeze(1).expand(-1, len(seen_Q), -1).flatten(0, 1)
    fewer_R = None if fewer_B is None else fewer_B.repeat_interleave(len(seen_Q))
    over_RM = over_threshold(u_RM, number_of(k, fewer_R), may_BQM.flatten(0, 1))
    share_BQM = over_RM.clamp(0.0, 1.0).unflatten(0, (batch, -1))
    return chosen_BQM, torch.where(chosen_BQM, share_BQM, 0.0)
