"""The network of a run."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from nonlocalnet.block import NonLocalBlock
from nonlocalnet.engine.optim import Parts
from nonlocalnet.models.sequence.architectures import ARCHITECTURES
from nonlocalnet.models.sequence.network import SequenceNetwork, build
from nonlocalnet.runs.sequence.config import SequenceDataConfig, SequenceRecipe
from nonlocalnet.runs.sequence.data import SequenceSet
from nonlocalnet.runs.sequence.sources import SOURCES

_ADDED = 2  # numbers of a step of the adding problem: a value and a mark
_COPIED = 10  # numbers of a step of copy memory
_RECALLED = 8  # values of associative recall, beside as many keys as it is long
ASSUMED_CLASSES = 10


def model_arguments(
    recipe: SequenceRecipe, *, num_classes: int | None, vocabulary_size: int | None = None
) -> dict[str, Any]:
    """Keyword arguments of the recipe's factory in `nonlocalnet.models.sequence`.

    Args:
        recipe: The run.
        num_classes: Classes or tags of the data; None for numbers.
        vocabulary_size: Tokens of the data; None for the default, the bytes.
    """
    source = SOURCES[recipe.data.source]
    said: dict[str, Any] = {
        **dataclasses.asdict(recipe.model),
        **recipe.model.block_options(),
        "task": source.task,
        "num_classes": num_classes,
        "input_size": _ADDED,
        "vocabulary_size": vocabulary_size or _made_tokens(recipe.data),
    }
    taken = ARCHITECTURES[recipe.model.architecture].defaults
    return {name: value for name, value in said.items() if name in taken}


def assumed_arguments(recipe: SequenceRecipe) -> dict[str, Any]:
    """Those arguments where no data are read: classes and vocabulary that only they say are assumed."""
    source = SOURCES[recipe.data.source]
    if not recipe.model.architecture.startswith(source.front):  # a network by name, without data
        return {**model_arguments(recipe, num_classes=recipe.model.num_classes or ASSUMED_CLASSES), "task": "classify"}
    classes = recipe.model.num_classes or _made_classes(recipe.data)
    return model_arguments(recipe, num_classes=None if source.task == "regress" else classes)


def _made_tokens(data: SequenceDataConfig) -> int:
    """Tokens of what is made; the bytes of a text."""
    return {"copy": _COPIED, "recall": data.length + _RECALLED}.get(data.source, 256)


def _made_classes(data: SequenceDataConfig) -> int:
    made = {"copy": _COPIED - 1, "recall": _RECALLED, "mentions": data.candidates}
    return made.get(data.source, 2 if data.source.startswith("recurring") else ASSUMED_CLASSES)


def arguments_for(recipe: SequenceRecipe, data: SequenceSet) -> dict[str, Any]:
    """Those arguments for data that were read."""
    size = None if data.known.coder is None else data.known.coder.size
    return model_arguments(recipe, num_classes=data.num_classes, vocabulary_size=size)


def build_model(recipe: SequenceRecipe, arguments: dict[str, Any]) -> SequenceNetwork:
    """Build the recipe's network; its initial weights are a function of `trainer.seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.trainer.seed)
        return build(recipe.model.architecture, arguments)


def parts_of(model: nn.Module) -> Parts:
    """The non-local blocks and the head, which may learn at rates of their own."""
    head = getattr(model, "head", None)
    return Parts(
        blocks=[module for module in model.modules() if isinstance(module, NonLocalBlock)],
        head=head if isinstance(head, nn.Module) else None,
    )
