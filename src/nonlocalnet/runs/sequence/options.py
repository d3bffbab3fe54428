"""What the command line may say of a run on sequences and of its weights, beside the fields of the recipe."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from nonlocalnet.runs.sequence.config import BLOCK_FIELDS, SequenceRecipe
from nonlocalnet.runs.sequence.sources import READ_BY, SOURCES, Front
from nonlocalnet.system.typed import refuse_typed

TEST_FIELDS = {
    "data": {
        *("root", "val", "test", "limit", "num_test", "length", "candidates", "sounds_per_item", "seed", "held_out"),
        *("longest_seconds", "max_length", "workers"),
    },
    "trainer": {"device", "devices", "num_nodes", "strategy", "precision", "float32_matmul_precision"},
    "optim": {"batch_size"},
}
"""By section, the fields that a test reads; of the batch size nothing but the speed hangs."""

_OF_FRONT: dict[Front, tuple[str, ...]] = {
    "tokens": ("embedding_size",),
    "sound": ("sample_rate", "n_fft", "hop_length", "n_mels"),
}


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
    """The recipe as it is.

    Raises:
        ValueError: A field was given on the command line that the data or the network do not read; it is named.
    """
    refuse_idle(parsed)
    return recipe


def refuse_idle(parsed: Namespace) -> None:
    """Refuse fields that were given on the command line and that the data or the network do not read.

    Raises:
        ValueError: There is one; it is named.
    """
    for fields, why in _without_effect(parsed.data, parsed.model):
        refuse_typed(parsed, fields, why, in_files=False)


def _without_effect(data: Namespace, model: Namespace) -> Iterator[tuple[list[str], str]]:
    """Fields that are not read, and why."""
    for field, readers in READ_BY.items():
        if data.source not in readers:
            yield [f"data.{field}"], f"on data.source {data.source}: it is for {', '.join(readers)}"
    if data.units == "bytes" and data.source == "texts":
        yield ["data.min_count", "data.max_words"], "where data.units is bytes: it is for words"
    for front, fields in _OF_FRONT.items():
        if not model.architecture.startswith(front):
            yield [f"model.{field}" for field in fields], f"on {model.architecture}: it is for {front}_*"
    if model.after == []:
        yield [f"model.{field}" for field in BLOCK_FIELDS], "where model.after is []: the network has no block"
    task = SOURCES[data.source].task
    if task == "tag":
        yield ["model.pool"], f"on data.source {data.source}, which asks for a class of every step"
    if task == "regress":
        yield ["model.num_classes"], f"on data.source {data.source}, which asks for a number"
