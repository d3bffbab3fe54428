"""Counting right answers."""

from __future__ import annotations

import torch


def topk_correct(scores_BK: torch.Tensor, labels_B: torch.Tensor, *, k: int) -> torch.Tensor:
    """Whether the true class is among the k highest scores.

    Args:
        scores_BK: Scores of K classes, any monotone scale.
        labels_B: True classes, in [0, K).
        k: At least 1; more than K counts as K.

    Returns:
        (B,) bool. A sample with a NaN among its scores is wrong; of equal scores the lower class index comes first.

    >>> scores = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]])
    >>> [topk_correct(scores, torch.tensor([2, 0]), k=k).tolist() for k in (1, 2)]
    [[False, True], [True, True]]
    """
    true_B1 = scores_BK.gather(1, labels_B[:, None])
    earlier_BK = torch.arange(scores_BK.shape[1], device=scores_BK.device) < labels_B[:, None]
    ahead_BK = (scores_BK > true_B1) | ((scores_BK == true_B1) & earlier_BK)
    return (ahead_BK.sum(dim=1) < k) & ~scores_BK.isnan().any(dim=1)


def confusion_matrix(labels: torch.Tensor, predicted: torch.Tensor, *, num_classes: int) -> torch.Tensor:
    """(num_classes, num_classes) counts: row the true class, column the predicted one."""
    flat = labels * num_classes + predicted
    return torch.bincount(flat, minlength=num_classes**2).reshape(num_classes, num_classes)
