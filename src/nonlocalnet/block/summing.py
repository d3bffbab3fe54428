"""Which sum a block takes over its keys: all of them, those of the past, a window, or positions that are chosen.

The block folds its maps into sets of positions that are summed together; here are the sets. What `summed` takes and
what `limits` shows are the same keys.
Shape suffixes: B sets of the batch, N output positions, M keys, Q asked positions; C and D channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nonlocalnet import functional
from nonlocalnet.block.positions import KeyBlocks, LearnedPositions
from nonlocalnet.functional import Pairwise
from nonlocalnet.functional.index_sets.key_blocks import block_means, liked_keys
from nonlocalnet.functional.index_sets.shares import chosen_keys, window_keys
from nonlocalnet.functional.masking import all_kept
from nonlocalnet.functional.pairwise import row_of


@dataclass(frozen=True)
class Sets:
    """How the keys of each position are found.

    Attributes:
        pairwise: The pairwise function f.
        scale: Factor on the logits of a softmax.
        w_f: (2 C,), for "concatenation" only.
        causal: Whether only what came before counts.
        window: Positions to each side; None: no window.
        dilation: Distance between these.
        chosen: What stands in the place of pooling; None: nothing does.
    """

    pairwise: Pairwise
    scale: float
    w_f: Tensor | None
    causal: bool
    window: int | None
    dilation: int
    chosen: LearnedPositions | KeyBlocks | None

    @property
    def own(self) -> dict[str, Any]:
        """What belongs to f alone."""
        return {"w_f": self.w_f, "scale": self.scale}


@dataclass(frozen=True)
class Operands:
    """What is summed, set by set.

    Attributes:
        theta_BNC: The queries; x with "gaussian".
        phi_BMC: The keys; x with "gaussian".
        g_BMD: The values.
        kept_BM: bool, False where a key is left out; None: none is.
        seen_N: How many of the first keys each query has seen; None where not causal.
        u_BM: Scores of `LearnedPositions`; None for the others.
        k: How many of these are chosen.
        fewer_B: Of which so many in each set, where that differs; None: k in all.
    """

    theta_BNC: Tensor
    phi_BMC: Tensor
    g_BMD: Tensor
    kept_BM: Tensor | None
    seen_N: Tensor | None = None
    u_BM: Tensor | None = None
    k: int = 0
    fewer_B: Tensor | None = None


def summed(sets: Sets, operands: Operands, *, training: bool) -> Tensor:
    """Y (B, N, D) of every position."""
    theta, phi, g, seen = operands.theta_BNC, operands.phi_BMC, operands.g_BMD, operands.seen_N
    how: dict[str, Any] = {**sets.own, "key_mask": operands.kept_BM}
    if sets.window is not None:
        return functional.windowed_sum(
            sets.pairwise, theta, phi, g, window=sets.window, dilation=sets.dilation, causal=sets.causal, **how
        )
    if isinstance(sets.chosen, KeyBlocks):
        size, count = sets.chosen.size, sets.chosen.count
        return functional.key_blocks_sum(
            sets.pairwise, theta, phi, g, size=size, count=count, causal=sets.causal, seen_N=seen, **how
        )
    if sets.chosen is not None:
        assert operands.u_BM is not None
        how |= {"k": operands.k, "fewer_B": operands.fewer_B, "hard": sets.chosen.by != "learned"}
        if seen is not None:
            return functional.causal_chosen_sum(sets.pairwise, theta, phi, g, operands.u_BM, seen_N=seen, **how)
        random = sets.chosen.random if training else 0
        return functional.chosen_sum(sets.pairwise, theta, phi, g, operands.u_BM, random=random, **how)
    if seen is not None:
        return functional.causal_sum(sets.pairwise, theta, phi, g, seen_N=seen, **how)
    return row_of(sets.pairwise).sum(theta, phi, g, w_f=sets.w_f, scale=sets.scale, key_mask=operands.kept_BM)


def limits(sets: Sets, operands: Operands, asked_Q: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Which keys asked positions look at, (B or 1, Q or 1, M) bool, and what g is multiplied by; None for all, for 1.

    Args:
        sets: How.
        operands: With theta and `seen_N` of the asked positions alone.
        asked_Q: Their numbers in their set.
    """
    kept, seen, keys = operands.kept_BM, operands.seen_N, operands.phi_BMC.shape[1]
    if isinstance(sets.chosen, KeyBlocks):
        size, count = sets.chosen.size, sets.chosen.count
        kept = all_kept(operands.phi_BMC) if kept is None else kept
        means = block_means(operands.phi_BMC, kept, size)
        return liked_keys(operands.theta_BNC, means, kept, seen, size=size, count=count), None
    if sets.chosen is not None:
        assert operands.u_BM is not None
        hard = sets.chosen.by != "learned"
        return chosen_keys(operands.u_BM, operands.k, fewer_B=operands.fewer_B, kept=kept, seen_Q=seen, hard=hard)
    near = None
    if sets.window is not None:
        near = window_keys(asked_Q, keys, window=sets.window, dilation=sets.dilation, causal=sets.causal)
    elif seen is not None:
        near = torch.arange(keys, device=asked_Q.device) < seen[:, None]
    if near is None:
        return (None if kept is None else kept.unsqueeze(1)), None
    return (near.unsqueeze(0) if kept is None else kept.unsqueeze(1) & near), None


def comparison_scores(chosen: LearnedPositions, g_BMD: Tensor, kept_BM: Tensor | None, k: int) -> Tensor:
    """The scores (B, M) of a choice that is not learned."""
    if chosen.by == "random":
        return torch.rand(g_BMD.shape[:2], device=g_BMD.device)
    if chosen.by == "norm":
        # In double: squares of less than 1e-23 are 0 in float32, of more than 1e19 infinite.
        return g_BMD.detach().double().norm(dim=2)
    kept = torch.ones(g_BMD.shape[:2], dtype=torch.long, device=g_BMD.device) if kept_BM is None else kept_BM.long()
    count, rank = kept.sum(dim=1, keepdim=True).clamp_min(1), kept.cumsum(dim=1)
    return ((rank * k // count) > ((rank - 1) * k // count)).float()


def distillation(sets: Sets, operands: Operands, u_BM: Tensor) -> Tensor:
    """The cross-entropy between softmax(u) and the mean weight that some random queries give to each key.

    The queries are drawn in each set among its kept positions; the mean is over the sets that have any.
    """
    assert isinstance(sets.chosen, LearnedPositions)
    theta_BNC, phi_BMC = operands.theta_BNC, operands.phi_BMC
    kept_BM = all_kept(phi_BMC) if operands.kept_BM is None else operands.kept_BM
    with torch.no_grad():
        drawn_BM = torch.rand(kept_BM.shape, device=u_BM.device).masked_fill(~kept_BM, 2.0)
        asked_BQ = drawn_BM.argsort(dim=1)[:, : sets.chosen.distil]
        theta_BQC = theta_BNC.gather(1, asked_BQ.unsqueeze(2).expand(-1, -1, theta_BNC.shape[2]))
        rows_BQM = functional.affinity(sets.pairwise, theta_BQC, phi_BMC, **sets.own, key_mask=operands.kept_BM)
        counts_BQM = kept_BM.gather(1, asked_BQ).unsqueeze(2) & kept_BM.unsqueeze(1)
        wanted_BM = torch.where(counts_BQM, rows_BQM.float().abs(), 0.0).sum(dim=1)
        wanted_BM = wanted_BM / wanted_BM.sum(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    left_B = -(wanted_BM * torch.log_softmax(u_BM.float().masked_fill(~kept_BM, -1e9), dim=1)).sum(dim=1)
    return left_B.sum() / kept_BM.any(dim=1).sum().clamp_min(1)
