"""SparseK (Lou et al., "Sparser is Faster and Less is More", arXiv 2406.16747): scores to a soft choice of k of them.

    p = the point of {0 <= p <= 1, sum p = k} nearest to u:  p_j = clip(u_j - tau, 0, 1), tau such that they sum to k

    u       -1.0   0.1   0.4   2.0          k = 2
    p        0     0.35  0.65  1.0          tau = -0.25

tau is where a falling line of pieces meets k; it is found by one sort of the pieces' ends and written once more as a
function of u, whose derivative is the exact Jacobian: 1 / (scores strictly between 0 and 1) for each of these.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nonlocalnet.functional.checks import check_at_least, require_tensor


def sparsek(u_BM: Tensor, k: int, *, kept: Tensor | None = None) -> Tensor:
    """P of each score, (B, M): the projection of u on {0 <= p <= 1, sum p = min(k, number kept)}.

    Args:
        u_BM: Scores, (B, M), floating point.
        k: How many are chosen, at least 1.
        kept: (B, M) bool; p is 0 where it is False.

    Returns:
        (B, M), differentiable: the exact Jacobian, piecewise constant. Exactly 1 everywhere where k is M or more.

    Raises:
        ValueError: u has not two dimensions or is not floating point, k is less than 1, or kept is not (B, M) bool.

    >>> sparsek(torch.tensor([[-1.0, 0.1, 0.4, 2.0]]), 2)
    tensor([[0.0000, 0.3500, 0.6500, 1.0000]])
    """
    require_tensor("u", u_BM)
    if u_BM.dim() != 2 or not u_BM.is_floating_point():
        raise ValueError(f"u must be (B, M) and floating point; got {tuple(u_BM.shape)} {u_BM.dtype}")
    check_k(k)
    if kept is not None:
        require_tensor("kept", kept)
    if kept is not None and (kept.dtype != torch.bool or kept.shape != u_BM.shape):
        raise ValueError(f"kept must be {tuple(u_BM.shape)} bool, as u; got {tuple(kept.shape)} {kept.dtype}")
    if u_BM.shape[1] == 0:
        return u_BM.clone()
    kept = kept_or_all(u_BM, kept)
    return torch.where(kept, over_threshold(u_BM, k, kept).clamp(0.0, 1.0), 0.0)


def kept_or_all(u_BM: Tensor, kept: Tensor | None) -> Tensor:
    """Which scores are kept, (B, M) bool: all where nothing says which."""
    return torch.ones_like(u_BM, dtype=torch.bool) if kept is None else kept


def check_k(k: int) -> None:
    """Refuse a number of positions that is none.

    Raises:
        ValueError: Naming it.
    """
    check_at_least("k", k, 1, meaning="positions that are chosen")


def check_fewer(fewer_B: Tensor | None, batch: int, k: int) -> None:
    """Refuse numbers of positions that are not one whole number from 1 to k for each row.

    Raises:
        ValueError: Naming what they are.
    """
    if fewer_B is None:
        return
    require_tensor("fewer_B", fewer_B)
    if fewer_B.dtype != torch.int64 or fewer_B.shape != (batch,):
        raise ValueError(f"fewer_B must be ({batch},) int64; got {tuple(fewer_B.shape)} {fewer_B.dtype}")
    if torch.compiler.is_compiling() or batch == 0:
        return
    try:
        least, most = int(fewer_B.min()), int(fewer_B.max())
    except RuntimeError:  # on "meta", and while a graph is traced, there are no values to ask for
        return
    if not 1 <= least <= most <= k:
        raise ValueError(f"fewer_B must be from 1 to k = {k}; got {least} to {most}")


def check_scores(u_BM: Tensor, phi_BMC: Tensor) -> None:
    """Check that there is a score for every summed position.

    Raises:
        ValueError: Naming both shapes.
    """
    require_tensor("u", u_BM)
    if u_BM.shape != phi_BMC.shape[:2]:
        raise ValueError(f"u must be (B, M) = {tuple(phi_BMC.shape[:2])} beside phi; got {tuple(u_BM.shape)}")


def rankable(u_BM: Tensor, kept_BM: Tensor) -> Tensor:
    """The scores by which positions are ranked: those that are left out are below all others, which may be -inf."""
    lowest = torch.finfo(u_BM.dtype).min
    return u_BM.clamp_min(lowest).masked_fill(~kept_BM, float("-inf"))


def over_threshold(u_BM: Tensor, k: int | Tensor, kept_BM: Tensor) -> Tensor:
    """U - tau, (B, M), whose part in [0, 1] is p; infinite where no more than k scores are kept, whose p are all 1.

    Tau is at most 1 below the k-th highest score and never above it: what is 2 or more away from that score counts by
    its side alone. So differences from it are taken, in double, and nothing is rounded off far from 0.

    Args:
        u_BM: Scores.
        k: How many are chosen; (B, 1) where it is another number for each row.
        kept_BM: bool, False where a score does not count.
    """
    wide_BM = u_BM.double().masked_fill(~kept_BM, 0.0)
    with torch.no_grad():
        full_B1 = kept_BM.sum(dim=1, keepdim=True) <= k
        kth_B1 = _kth_highest(wide_BM.masked_fill(~kept_BM, float("-inf")), k).masked_fill(full_B1, 0.0)
        tied_BM = (wide_BM == kth_B1) & ~kth_B1.isfinite()
    from_kth_BM = torch.where(tied_BM, 0.0, wide_BM - kth_B1)
    tau_B1 = _threshold(from_kth_BM.clamp(-2.0, 2.0), k, kept_BM)
    # Not by a tau of -inf, from which a score of -inf is no number away.
    return (from_kth_BM - tau_B1).masked_fill(full_B1, float("inf")).to(u_BM.dtype)


def _kth_highest(u_BM: Tensor, k: int | Tensor) -> Tensor:
    """(B, 1); the lowest of all where there are fewer."""
    most = u_BM.shape[1]
    if isinstance(k, int):
        return u_BM.topk(min(k, most), dim=1).values[:, -1:]
    return u_BM.sort(dim=1, descending=True).values.gather(1, k.clamp_max(most) - 1)


def _threshold(u_BM: Tensor, k: int | Tensor, kept_BM: Tensor) -> Tensor:
    """Tau, (B, 1), as a function of u, where more than k scores are kept."""
    with torch.no_grad():
        found_B1 = _found(u_BM, k, kept_BM)
        above_BM = kept_BM & (u_BM >= found_B1 + 1)
        between_BM = kept_BM & (u_BM > found_B1) & ~above_BM
    count_B1 = between_BM.sum(dim=1, keepdim=True)
    total_B1 = torch.where(between_BM, u_BM, 0.0).sum(dim=1, keepdim=True)
    tau_B1 = (total_B1 - (k - above_BM.sum(dim=1, keepdim=True))) / count_B1.clamp_min(1)
    # With no score between 0 and 1, tau may be any of an interval and nothing depends on it: the middle of it, since at
    # an end of it a p would be 0 or 1 by a hair.
    with torch.no_grad():
        lowest_B1 = u_BM.masked_fill(~above_BM, float("inf")).amin(dim=1, keepdim=True)
        highest_B1 = u_BM.masked_fill(above_BM | ~kept_BM, float("-inf")).amax(dim=1, keepdim=True)
    return torch.where(count_B1 > 0, tau_B1, (lowest_B1 - 1 + highest_B1) / 2)


def _found(u_BM: Tensor, k: int | Tensor, kept_BM: Tensor) -> Tensor:
    """Tau, (B, 1), from the ends of the pieces: below u_j its p grows, below u_j - 1 it stays 1."""
    far = float("-inf")
    ends_BE, order = torch.cat([u_BM, u_BM - 1], dim=1).masked_fill(~kept_BM.repeat(1, 2), far).sort(descending=True)
    slopes_BE = torch.where(order < u_BM.shape[1], 1.0, -1.0).to(u_BM.dtype).cumsum(dim=1)
    fallen_BE = (ends_BE[:, :-1] - ends_BE[:, 1:]).nan_to_num(nan=0.0, posinf=0.0)
    sums_BE = torch.nn.functional.pad((slopes_BE[:, :-1] * fallen_BE).cumsum(dim=1), (1, 0))  # of p, with tau there
    # The last end at which the sum is no more than k; from there it grows by the slope.
    last_B1 = (sums_BE <= k).sum(dim=1, keepdim=True).clamp_min(1) - 1
    end_B1, sum_B1, slope_B1 = (rows.gather(1, last_B1) for rows in (ends_BE, sums_BE, slopes_BE))
    return end_B1 - (k - sum_B1) / slope_B1.clamp_min(1.0)
