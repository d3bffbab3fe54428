"""The most probable classes by name."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def top_classes(
    scores: torch.Tensor, class_names: Sequence[str] | None, top: int
) -> tuple[list[int], list[str], list[float]]:
    """Indices, names and scores of the highest of (classes,), highest first; of equals the lowest index first."""
    order: list[int] = scores.argsort(descending=True, stable=True)[:top].tolist()
    names: list[str] = [str(i) if class_names is None else class_names[i] for i in order]
    return order, names, scores[order].tolist()
