"""The sum over k positions that scores choose, the same for every output position: N k weights in the place of N M.

    u (B, M) --> p = SparseK(u)  -->  the k with the highest p: phi and p g of these  -->  the pairwise function's sum

Shape suffixes: B batch, N output positions, M positions to choose among, K chosen, C and D channels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from nonlocalnet.functional.checks import check_at_least, check_operands
from nonlocalnet.functional.index_sets.sparsek import check_k, check_scores, threshold
from nonlocalnet.functional.masking import zero_masked
from nonlocalnet.functional.pairwise import Pairwise, row_of


class Chosen(NamedTuple):
    """What was chosen among M positions.

    Attributes:
        places: (B, K) their numbers, ascending.
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
    u_BM: Tensor, k: int, *, key_mask: Tensor | None = None, random: int = 0, hard: bool = False
) -> Chosen:
    """The k positions with the highest p = SparseK(u); ties go to the lowest number.

    Where more than k scores have p above 0, those past the k-th are dropped: what is left of p sums to less than k.

    Args:
        u_BM: Scores, (B, M).
        k: How many; all where it is M or more.
        key_mask: (B, M) bool; positions with False are never chosen.
        random: So many more, drawn from those that were not chosen. They have p = 0, and the derivative of u - tau in
            the place of p's, which is 0 there: this is how a position without a share can get one.
        hard: p is 1 for the chosen, and the scores have no gradient.

    Raises:
        ValueError: k is less than 1, or random less than 0.
    """
    check_k(k)
    check_at_least("random", random, 0, meaning="positions drawn beside the chosen")
    keys = u_BM.shape[1]
    kept_BM = torch.ones_like(u_BM, dtype=torch.bool) if key_mask is None else key_mask
    if hard and random > 0:
        raise ValueError(f"random draws positions with p = 0, which hard=True does not have; got random={random}")
    with torch.no_grad():
        ranked_BM = u_BM.masked_fill(~kept_BM, float("-inf")).sort(dim=1, descending=True, stable=True).indices
        places_BK, by_share = ranked_BM[:, :k], min(k, keys)
        if random > 0 and keys > k:
            rest_BM = ranked_BM[:, k:]
            drawn = torch.rand(rest_BM.shape, device=u_BM.device).argsort(dim=1)[:, :random]
            places_BK = torch.cat([places_BK, rest_BM.gather(1, drawn)], dim=1)
        places_BK, order_BK = places_BK.sort(dim=1)
    kept_BK = None if key_mask is None else key_mask.gather(1, places_BK)
    if hard:
        return Chosen(places_BK, torch.ones_like(places_BK, dtype=u_BM.dtype), kept_BK)
    over_BK = u_BM.gather(1, places_BK) - threshold(u_BM, k, kept_BM)
    share_BK = over_BK.clamp(0.0, 1.0)
    if random > 0 and keys > k:
        share_BK = torch.where(order_BK < by_share, share_BK, over_BK - over_BK.detach())
    return Chosen(places_BK, share_BK, kept_BK)


def chosen_sum(
    pairwise: Pairwise,
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    u_BM: Tensor,
    *,
    k: int,
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
        random: Further positions with p = 0, drawn at every call, for training; see `choose_positions`. They count in
            the normaliser of the Gaussian forms only. Not with `hard`.
        hard: p is 1 for the chosen, and the scores have no gradient: for scores that are not learned.
        w_f: (2C,), for "concatenation" only.
        scale: Factor of the logits, for the Gaussian forms only.
        key_mask: (B, M) bool; positions with False are never chosen.

    Returns:
        y, (B, N, D), in the operands' dtype; 0 where nothing is kept.

    Raises:
        ValueError: As the function of that name; u is not (B, M); k is less than 1, random less than 0.
    """
    row = row_of(pairwise)
    check_operands(("theta", theta_BNC), ("phi", phi_BMC), g_BMD, key_mask=key_mask)
    check_scores(u_BM, phi_BMC)
    u_BM = u_BM.to(torch.promote_types(u_BM.dtype, torch.float32))
    chosen = choose_positions(u_BM, k, key_mask=key_mask, random=random, hard=hard)
    share_BK1 = chosen.share.unsqueeze(2)
    if random > 0 and not row.is_softmax:  # the row divides by all that it is given
        share_BK1 = share_BK1 * _over_count(chosen, k)
    phi_BKC, g_BKD = chosen.of(phi_BMC), zero_masked(chosen.of(g_BMD), chosen.kept)
    values_BKD = (g_BKD * share_BK1).to(g_BMD.dtype)
    return row.sum(theta_BNC, phi_BKC, values_BKD, w_f=w_f, scale=scale, key_mask=chosen.kept)


def _over_count(chosen: Chosen, k: int) -> float | Tensor:
    """The number of positions given over the number that counts, k or those kept."""
    if chosen.kept is None:
        given = chosen.places.shape[1]
        return given / min(k, given)
    kept_B = chosen.kept.sum(dim=1).clamp_min(1).float()
    return (kept_B / kept_B.clamp_max(k)).view(-1, 1, 1)
