"""SparseK over every beginning of a sequence: tau after 1, 2, ... M scores, and its exact derivative.

tau never falls as scores come, so that a score that has dropped below it never returns: each score moves at most from
"all of it" to "between" to "nothing", and two heaps hold the first two. M log k steps on the host.

The derivative of tau after m scores is 1 / (number between) for each of the scores between. A score is between from
the first m with tau > u - 1 to the last with tau < u, one stretch, so that its gradient is a difference of two prefix
sums over m.
"""

from __future__ import annotations

import heapq
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def prefix_thresholds(u_BM: Tensor, k: int, kept_BM: Tensor, *, fewer_B: Tensor | None = None) -> Tensor:
    """Tau of the first m kept scores, (B, M + 1), m from 0 to M; -inf where they are k or fewer, and all chosen.

    `fewer_B` says another k for each row, as `chosen_sum` takes it.
    """
    return _PrefixThresholds.apply(u_BM, [k] * len(u_BM) if fewer_B is None else fewer_B.tolist(), kept_BM)[0]


class _PrefixThresholds(torch.autograd.Function):
    @staticmethod
    def forward(u: Tensor, k_of_B: list[int], kept: Tensor) -> tuple[Tensor, Tensor]:
        rows = zip(u.tolist(), kept.tolist(), k_of_B, strict=True)
        walked = [_walk(row, keep, k) for row, keep, k in rows]
        # In double: the ends of the stretches are found by comparing with u again.
        both = torch.tensor(walked, dtype=torch.float64, device=u.device).view(len(u), 2, u.shape[1] + 1)
        return both[:, 0].contiguous(), both[:, 1].contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        u, _, kept = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(u, kept, *output)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        u, kept, tau_Bm, between_Bm = ctx.saved_tensors
        a_score_Bm = torch.where(between_Bm > 0, grad_outputs[0] / between_Bm.clamp_min(1.0), 0.0)
        before_Bm = F.pad(a_score_Bm.cumsum(dim=1), (1, 0))  # the sum over fewer than m scores
        scores = u.detach().double()
        seen = torch.arange(1, u.shape[1] + 1, device=u.device)
        begin = torch.searchsorted(tau_Bm, (scores - 1).contiguous(), right=True).maximum(seen)
        end = torch.searchsorted(tau_Bm, scores.contiguous()).maximum(begin)
        grad = before_Bm.gather(1, end) - before_Bm.gather(1, begin)
        return torch.where(kept, grad, 0.0).to(u.dtype), None, None


def _walk(scores: list[float], kept: list[bool], k: int) -> tuple[list[float], list[float]]:
    """Tau after each number of scores from 0, and how many of them are strictly between 0 and 1 there."""
    whole: list[float] = []  # u >= tau + 1
    between: list[float] = []  # tau < u < tau + 1
    total, tau, count = 0.0, float("-inf"), 0
    taus, betweens = [tau], [0.0]
    for u, keep in zip(scores, kept, strict=True):
        if keep and u > tau:
            count += 1
            if u >= tau + 1:
                heapq.heappush(whole, u)
            else:
                heapq.heappush(between, u)
                total += u
            if count > k:
                while True:
                    leaves = between[0] if between else float("inf")
                    shrinks = whole[0] - 1 if whole else float("inf")
                    if len(whole) == k:  # nothing is left for those between: they go, unless the lowest of k shrinks
                        if not between:
                            tau, total = (tau + shrinks) / 2, 0.0  # any of an interval: no score is at an end of it
                            break
                    elif between:
                        needed = (total - (k - len(whole))) / len(between)
                        if needed <= leaves and needed <= shrinks:
                            tau = max(tau, needed)
                            break
                    if shrinks < leaves:
                        lowest = heapq.heappop(whole)
                        heapq.heappush(between, lowest)
                        total += lowest
                    else:
                        total -= heapq.heappop(between)
                    tau = max(tau, min(leaves, shrinks))
        taus.append(tau)
        betweens.append(float(len(between)))
    return taus, betweens
