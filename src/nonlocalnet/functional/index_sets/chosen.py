"""The sum over k positions that scores choose, the same for every output position: N k weights in the place of N M.

    u (B, M) --> p = SparseK(u)  -->  the k with the highest p: phi and p g of these  -->  the pairwise function's sum

Shape suffixes: B batch, N output positions, M positions to choose among, K chosen, C and D channels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nonlocalnet.functional.checks import check_at_least, check_operands
from nonlocalnet.functional.index_sets.sparsek import (
    check_fewer,
    check_k,
    check_scores,
    kept_or_all,
    over_threshold,
    rankable,
)
from nonlocalnet.functional.masking import zero_masked
from nonlocalnet.functional.pairwise import Pairwise, PairwiseFunction, row_of


class Chosen(NamedTuple):
    """What was chosen among M positions.

    Attributes:
        places: (B, K) their numbers.
        share: (B, K) p of them, which their g is multiplied by.
        kept: (B, K) bool, False where fewer than K could be chosen; None where none are left out.
    """

    places: Tensor
    share: Tensor
    kept: Tensor | None

    def of(self, rows_BMC: Tensor) -> Tensor:
        """The rows of the chosen, (B, K, C)."""
        return rows_BMC.gather(1, self.places.unsqueeze(2).expand(-1, -1, rows_BMC.shape[2]))


def choose_positions(
    u_BM: Tensor, k: int, *, fewer_B: Tensor | None = None, key_mask: Tensor | None = None, hard: bool = False
) -> Chosen:
    """The k positions with the highest p = SparseK(u); ties go to the lowest number.

    Where more than k scores have p above 0, those past the k-th are dropped: what is left of p sums to less than k.

    Args:
        u_BM: Scores, (B, M).
        k: How many; all where it is M or more.
        fewer_B: As `chosen_sum` takes it.
        key_mask: (B, M) bool; positions with False are never chosen.
        hard: p is 1 for the chosen, and the scores have no gradient.

    Raises:
        ValueError: k is less than 1.
    """
    check_k(k)
    kept_BM = kept_or_all(u_BM, key_mask)
    with torch.no_grad():
        ranked_BM = rankable(u_BM, kept_BM).sort(dim=1, descending=True, stable=True).indices
        places_BK, rank_BK = ranked_BM[:, :k].sort(dim=1)
    kept_BK = None if key_mask is None else key_mask.gather(1, places_BK)
    if fewer_B is not None:
        among_BK = rank_BK < fewer_B.unsqueeze(1)
        kept_BK = among_BK if kept_BK is None else kept_BK & among_BK
    if hard:
        return Chosen(places_BK, torch.ones_like(places_BK, dtype=u_BM.dtype), kept_BK)
    return Chosen(places_BK, _over(u_BM, places_BK, number_of(k, fewer_B), kept_BM).clamp(0.0, 1.0), kept_BK)


def number_of(k: int, fewer_B: Tensor | None) -> int | Tensor:
    """As `threshold` takes it."""
    return k if fewer_B is None else fewer_B.unsqueeze(1)


def _over(u_BM: Tensor, places_BK: Tensor, k: int | Tensor, kept_BM: Tensor) -> Tensor:
    """U - tau of some positions, whose part in [0, 1] is p."""
    return over_threshold(u_BM, k, kept_BM).gather(1, places_BK)


def _with_drawn(
    chosen: Chosen, u_BM: Tensor, k: int, fewer_B: Tensor | None, count: int, key_mask: Tensor | None
) -> Chosen:
    """The chosen, and so many more at random; every share is 0, and the drawn ones' have the derivative of u - tau.

    They are drawn among those that are kept and not chosen; of a row that has fewer, all of these.
    """
    kept_BM = kept_or_all(u_BM, key_mask)
    chosen_BK = torch.ones_like(chosen.places, dtype=torch.bool) if chosen.kept is None else chosen.kept
    free_BM = kept_BM & ~torch.zeros_like(kept_BM).scatter(1, chosen.places, chosen_BK)
    order_BM = torch.rand(u_BM.shape, device=u_BM.device).masked_fill(~free_BM, 2.0).argsort(dim=1)
    drawn_BR = order_BM[:, :count]
    over_BR = _over(u_BM, drawn_BR, number_of(k, fewer_B), kept_BM)
    # Of what is infinitely far below there is no derivative, and no 0 as a difference.
    nothing_BR = torch.where(over_BR.isfinite(), over_BR - over_BR.detach(), 0.0)
    share_BK = torch.cat([torch.zeros_like(chosen.share), nothing_BR], dim=1)
    places_BK = torch.cat([chosen.places, drawn_BR], dim=1)
    return Chosen(places_BK, share_BK, torch.cat([chosen_BK, free_BM.gather(1, drawn_BR)], dim=1))


def chosen_sum(
    pairwise: Pairwise,
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    u_BM: Tensor,
    *,
    k: int,
    fewer_B: Tensor | None = None,
    random: int = 0,
    hard: bool = False,
    w_f: Tensor | None = None,
    scale: float = 1.0,
    key_mask: Tensor | None = None,
) -> Tensor:
    """y_i = 1 / C_i sum_{j in S} f(x_i, x_j) p_j g_j, S the k positions with the highest p = SparseK(u).

    C_i is the sum of f over S for the Gaussian forms, and k (all that are kept, where these are fewer) for the others.
    With k = M every p is 1 and this is the sum over all positions. "Sparser is Faster and Less is More", Lou et al.,
    arXiv 2406.16747, has the choice for attention; there, too, the values are multiplied by p.

    Args:
        pairwise: One of `PAIRWISE`.
        theta_BNC: (B, N, C), x for "gaussian".
        phi_BMC: (B, M, C), x for "gaussian".
        g_BMD: (B, M, D).
        u_BM: Scores, (B, M); the gradient reaches them through p.
        k: Positions of S, at least 1; all where it is M or more.
        fewer_B: (B,) int64, from 1 to k: how many they are in each row, where that differs. None: k in all.
        random: Further positions, drawn at every call, for training. They have p = 0 and change nothing of y; their
            scores get the derivative of u - tau in the place of p's, which is 0 there: this is how a position without a
            share can get one. In that derivative C_i is over S and those drawn. Drawn among those kept and not chosen.
            Not with `hard`.
        hard: p is 1 for the chosen, and the scores have no gradient: for scores that are not learned.
        w_f: (2C,), for "concatenation" only.
        scale: Factor of the logits, for the Gaussian forms only.
        key_mask: (B, M) bool; positions with False are never chosen.

    Returns:
        y, (B, N, D), in the operands' dtype; 0 where nothing is kept.

    Raises:
        ValueError: As the function of that name; u is not (B, M), or fewer_B not (B,) int64 from 1 to k; k is less than
            1, random less than 0.
    """
    row = row_of(pairwise)
    check_operands(("theta", theta_BNC), ("phi", phi_BMC), g_BMD, key_mask=key_mask)
    check_scores(u_BM, phi_BMC)
    check_k(k)
    check_fewer(fewer_B, len(u_BM), k)
    check_at_least("random", random, 0, meaning="positions drawn beside the chosen")
    if hard and random > 0:
        raise ValueError(f"random draws positions with p = 0, which hard=True does not have; got random={random}")
    u_BM = u_BM.to(torch.promote_types(u_BM.dtype, torch.float32))
    chosen = choose_positions(u_BM, k, fewer_B=fewer_B, key_mask=key_mask, hard=hard)
    y_BND = _sum_over(row, chosen, theta_BNC, phi_BMC, g_BMD, w_f=w_f, scale=scale)
    if random == 0 or (fewer_B is None and k >= u_BM.shape[1]):
        return y_BND
    drawn = _with_drawn(chosen, u_BM, k, fewer_B, random, key_mask)
    # 0 in value. In one sum with the chosen the drawn keys would count in a softmax, and what is trained would lean on
    # weight that goes to keys of no value, which there are none of in eval mode.
    w_f = None if w_f is None else w_f.detach()
    nothing_BND = _sum_over(row, drawn, theta_BNC.detach(), phi_BMC.detach(), g_BMD.detach(), w_f=w_f, scale=scale)
    return y_BND + nothing_BND


def _sum_over(
    row: PairwiseFunction,
    chosen: Chosen,
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    *,
    w_f: Tensor | None,
    scale: float,
) -> Tensor:
    g_BKD = zero_masked(chosen.of(g_BMD), chosen.kept)
    values_BKD = (g_BKD * chosen.share.unsqueeze(2)).to(g_BMD.dtype)
    return row.sum(theta_BNC, chosen.of(phi_BMC), values_BKD, w_f=w_f, scale=scale, key_mask=chosen.kept)
