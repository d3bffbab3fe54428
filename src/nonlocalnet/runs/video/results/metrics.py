"""Counting right answers."""

from __future__ import annotations

import math

import torch


def topk_correct(scores_BK: torch.Tensor, labels_B: torch.Tensor, *, k: int) -> torch.Tensor:
    """Whether the true class is among the k highest scores.

    Args:
        scores_BK: Scores of K classes, any monotone scale.
        labels_B: True classes, in [0, K); or (B, K) with several true classes a sample, of which one must be among
            the k.
        k: At least 1; more than K counts as K.

    Returns:
        (B,) bool. A sample with a NaN among its scores is wrong; of equal scores the lower class index comes first.

    >>> scores = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]])
    >>> [topk_correct(scores, torch.tensor([2, 0]), k=k).tolist() for k in (1, 2)]
    [[False, True], [True, True]]
    """
    if labels_B.ndim == 2:
        highest_Bk = scores_BK.argsort(dim=1, descending=True, stable=True)[:, :k]
        return (labels_B.gather(1, highest_Bk) > 0).any(dim=1) & ~scores_BK.isnan().any(dim=1)
    true_B1 = scores_BK.gather(1, labels_B[:, None])
    earlier_BK = torch.arange(scores_BK.shape[1], device=scores_BK.device) < labels_B[:, None]
    ahead_BK = (scores_BK > true_B1) | ((scores_BK == true_B1) & earlier_BK)
    return (ahead_BK.sum(dim=1) < k) & ~scores_BK.isnan().any(dim=1)


def average_precision(scores_VK: torch.Tensor, labels_VK: torch.Tensor) -> torch.Tensor:
    """Average precision of each class, as the official evaluation of Charades defines it.

    The videos are ranked by a class's score; the precision at the rank of each positive is averaged over the positives,
    without interpolation. A video without any class ranks last everywhere, whatever its scores, and so must one without
    a prediction (score -inf). Equal scores keep the order of the list; the official script leaves it open.

    Args:
        scores_VK: Scores of K classes of V videos, any monotone scale.
        labels_VK: Which classes each video has: 0 and 1, or bool.

    Returns:
        (K,) float64 in [0, 1]; NaN for a class without positives, for which it is not defined.

    >>> scores = torch.tensor([[0.9, 0.2], [0.8, 0.1], [0.7, 0.3]])
    >>> average_precision(scores, torch.tensor([[1, 0], [0, 0], [1, 0]])).tolist()
    [1.0, nan]
    """
    labels_VK = labels_VK > 0
    empty_V1 = ~labels_VK.any(dim=1, keepdim=True)
    order_VK = scores_VK.double().masked_fill(empty_V1, -math.inf).argsort(dim=0, descending=True, stable=True)
    positive_VK = labels_VK.gather(0, order_VK).double()
    ranks_V1 = torch.arange(1, len(scores_VK) + 1, dtype=torch.float64, device=scores_VK.device)[:, None]
    precision_VK = positive_VK.cumsum(dim=0) / ranks_V1
    return (precision_VK * positive_VK).sum(dim=0) / positive_VK.sum(dim=0)


def mean_average_precision(scores_VK: torch.Tensor, labels_VK: torch.Tensor) -> float:
    """Mean of `average_precision` in percent over the classes that have positives; NaN if none has.

    The official script takes the mean over all classes, which is the same on Charades' own lists, where every class has
    positives, and not a number on a list where one has none.
    """
    return 100 * average_precision(scores_VK, labels_VK).nanmean().item()
