"""Recipes of sequences with everything that costs time made small, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nonlocalnet.runs.sequence.config import SequenceRecipe


def tiny(recipe: SequenceRecipe, *, model: dict[str, Any] | None = None, **data: Any) -> SequenceRecipe:
    """Four steps of four sequences, hidden size 4."""
    made = {"num_train": 24, "num_val": 6, "num_test": 6, "length": 12} if not recipe.data.root else {}
    length = {"mentions": 600}.get(recipe.data.source)
    made |= {} if length is None else {"length": length}
    small = {"hidden_size": 4, "embedding_size": 4, "n_mels": 4}
    return replace(
        recipe,
        model=replace(recipe.model, **{**small, **(model or {})}),
        data=replace(recipe.data, **{**made, **data}),
        optim=replace(recipe.optim, batch_size=4),
        schedule=replace(recipe.schedule, steps=4),
        trainer=replace(recipe.trainer, device="cpu", val_every=2, checkpoint_every=2, log_every=1, limit_val=None),
    )
