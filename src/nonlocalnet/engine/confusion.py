"""Which class is taken for which."""

from __future__ import annotations

import torch


def confusion_matrix(labels: torch.Tensor, predicted: torch.Tensor, *, num_classes: int) -> torch.Tensor:
    """(num_classes, num_classes) counts: row the true class, column the predicted one."""
    flat = labels * num_classes + predicted
    return torch.bincount(flat, minlength=num_classes**2).reshape(num_classes, num_classes)
