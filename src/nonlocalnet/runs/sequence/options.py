"""What the command line may say of a run on sequences and of its weights, beside the fields of the recipe: nothing."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from nonlocalnet.runs.sequence.config import SequenceRecipe

TEST_FIELDS = {
    "data": {
        *("root", "val", "test", "limit", "num_test", "length", "candidates", "sounds_per_item", "seed", "held_out"),
        *("longest_seconds", "max_length", "workers"),
    },
    "trainer": {"device", "devices", "num_nodes", "strategy", "precision", "float32_matmul_precision"},
    "optim": {"batch_size"},
}
"""By section, the fields that a test reads; of the batch size nothing but the speed hangs."""


def add_train_options(parser: ArgumentParser) -> None:
    """Add what a training takes beside the recipe: nothing."""
    del parser


def train_arguments(parsed: Namespace) -> dict[str, Any]:
    """Arguments of `train_recipe`: none."""
    del parsed
    return {}


def add_test_options(parser: ArgumentParser) -> None:
    """Add what a test takes beside the recipe: nothing."""
    del parser


def weights_arguments(parsed: Namespace) -> dict[str, Any]:
    """Arguments of `open_weights`: none."""
    del parsed
    return {}


def test_arguments(parsed: Namespace) -> dict[str, Any]:
    """Arguments of `test_recipe`: none."""
    del parsed
    return {}


def apply_options(recipe: SequenceRecipe, parsed: Namespace) -> SequenceRecipe:
    """The recipe as it is."""
    del parsed
    return recipe
