"""The data that are made, not read: each split is a function of `data.seed`."""

from __future__ import annotations

import torch
from torch.utils.data import Dataset

from nonlocalnet.data.generated.mentions import Mentions, python_topics
from nonlocalnet.data.generated.sequences import AddingProblem, AssociativeRecall, CopyMemory
from nonlocalnet.data.generated.sounds import RecurringSounds, draw_tones
from nonlocalnet.data.padded import SequenceItem
from nonlocalnet.data.sound.reader import read_sound
from nonlocalnet.runs.sequence.config import SequenceRecipe
from nonlocalnet.runs.sequence.splits import STREAMS, Split
from nonlocalnet.runs.sequence.spoken import load_digits

RECURS = ("differs", "recurs")
_TONES = {"train": 500, "val": 100, "test": 100}
_PART_FOR_VAL = 8  # every eighth topic of the training's


def make_data(recipe: SequenceRecipe, split: Split) -> tuple[Dataset[SequenceItem], tuple[str, ...] | None]:
    """The sequences of a split, and the names of their classes.

    Raises:
        ValueError: A setting is out of range, or a spoken digit cannot be read.
        FileNotFoundError: There is no folder of spoken digits.
    """
    data = recipe.data
    count = {"train": data.num_train, "val": data.num_val, "test": data.num_test}[split]
    seed = len(STREAMS) * data.seed + STREAMS[split]
    if data.source == "adding":
        return AddingProblem(count, length=data.length, seed=seed), None
    if data.source == "copy":
        copied = CopyMemory(count, blanks=data.length, seed=seed)
        return copied, tuple(map(str, range(copied.num_classes)))
    if data.source == "recall":
        recall = AssociativeRecall(count, pairs=data.length, seed=seed)
        return recall, tuple(map(str, range(recall.num_classes)))
    if data.source == "mentions":
        documents = _prose(split)
        found = Mentions(documents, num_items=count, length=data.length, num_candidates=data.candidates, seed=seed)
        return found, tuple(f"candidate {number}" for number in range(1, data.candidates + 1))
    sounds, labels = _sounds(recipe, split, seed=seed)
    strings = RecurringSounds(sounds, labels, num_items=count, sounds_per_item=data.sounds_per_item, seed=seed)
    return strings, RECURS


def _prose(split: Split) -> list[str]:
    if split == "test":
        return python_topics("test")
    topics = python_topics("train")
    return [text for number, text in enumerate(topics) if (number % _PART_FOR_VAL == 0) == (split == "val")]


def _sounds(recipe: SequenceRecipe, split: Split, *, seed: int) -> tuple[list[torch.Tensor], list[int]]:
    rate = recipe.model.sample_rate
    if recipe.data.source == "recurring_tones":
        return draw_tones(_TONES[split], seed=seed, sample_rate=rate)
    digits = load_digits(recipe, split).entries
    longest = recipe.data.longest_seconds
    return [read_sound(e.path, sample_rate=rate, longest_seconds=longest) for e in digits], [e.label for e in digits]
