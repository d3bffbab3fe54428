"""Data of the user: labelled sounds and texts, and tagged sentences."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

from nonlocalnet.data.sound.sound_list import SoundList, load_sound_list
from nonlocalnet.data.sound.waveforms import TestSounds, TrainSounds
from nonlocalnet.data.text.coded import CodedTexts, TaggedTokens
from nonlocalnet.data.text.coding import ByteCoder, TextCoder, WordCoder, build_vocabulary, words_of
from nonlocalnet.data.text.tagged import load_tagged
from nonlocalnet.data.text.text_list import TextList, load_text_list
from nonlocalnet.runs.sequence.config import SequenceRecipe
from nonlocalnet.runs.sequence.splits import Split
from nonlocalnet.runs.sequence.spoken import load_digits

log = logging.getLogger(__name__)

_MOST_UNNAMED = 1000  # classes of a list with fewer entries; what is counted of pairs of classes fits into memory


class Own(NamedTuple):
    """A split as it was read.

    Attributes:
        dataset: Its sequences.
        class_names: The classes or tags by index; None where the list has no names.
        num_classes: How many there are.
        coder: How texts become numbers; None for sounds.
    """

    dataset: Any
    class_names: tuple[str, ...] | None
    num_classes: int
    coder: TextCoder | None


def load_own(
    recipe: SequenceRecipe, split: Split, *, class_names: tuple[str, ...] | None, coder: TextCoder | None
) -> Own:
    """Read a split.

    Args:
        recipe: Says which data.
        split: Which part; the first that is read is the training.
        class_names: Those of the training or the weights; None to take the list's own.
        coder: That of the training or the weights; None to make it of this split.

    Raises:
        ValueError: `data.root` is not set, or a list is malformed or does not match.
        FileNotFoundError: A list or file does not exist.
    """
    source = recipe.data.source
    if source == "spoken_digits":
        return _sounds(recipe, split, load_digits(recipe, split))
    place = _place(recipe, split)
    if source == "sounds":
        classes = recipe.model.num_classes
        found = load_sound_list(place, root=recipe.data.root, num_classes=classes, classes=class_names)
        return _sounds(recipe, split, found)
    return _tags(recipe, place, class_names, coder) if source == "tags" else _texts(recipe, place, class_names, coder)


def _place(recipe: SequenceRecipe, split: Split) -> Path:
    data = recipe.data
    if data.root is None:
        raise ValueError(f"data.root is not set: give the folder of the {data.source}, --data.root DIR")
    return Path(data.root) / {"train": data.train, "val": data.val, "test": data.test or data.val}[split]


def _sounds(recipe: SequenceRecipe, split: Split, sounds: SoundList) -> Own:
    settings = {"sample_rate": recipe.model.sample_rate, "longest_seconds": recipe.data.longest_seconds}
    classes = _count(sounds, recipe.model.num_classes)
    if split == "train":
        dataset: Any = TrainSounds(sounds, **settings, seed=recipe.trainer.seed)
    else:
        dataset = TestSounds(sounds, **settings)
    return Own(dataset, sounds.class_names, classes, None)


def _texts(recipe: SequenceRecipe, place: Path, names: tuple[str, ...] | None, coder: TextCoder | None) -> Own:
    data = recipe.data
    texts = load_text_list(place, num_classes=recipe.model.num_classes, classes=names)
    if coder is None and data.units == "words":
        words = (word for entry in texts.entries for word in words_of(entry.text))
        coder = build_vocabulary(words, min_count=data.min_count, max_words=data.max_words)
        log.info("%s: a vocabulary of %d words", place, coder.size - 2)
    coder = coder or ByteCoder()
    classes = _count(texts, recipe.model.num_classes)
    return Own(CodedTexts(texts, coder, max_length=data.max_length), texts.class_names, classes, coder)


def _tags(recipe: SequenceRecipe, place: Path, names: tuple[str, ...] | None, coder: TextCoder | None) -> Own:
    data = recipe.data
    tagged = load_tagged(place, tags=names)
    if coder is None:
        words = (token for sentence in tagged.sentences for token in sentence.tokens)
        coder = build_vocabulary(words, min_count=data.min_count, max_words=data.max_words)
        log.info("%s: a vocabulary of %d words, %d tags", place, coder.size - 2, len(tagged.tag_names))
    assert isinstance(coder, WordCoder)
    dataset = TaggedTokens(tagged, coder, max_length=data.max_length)
    return Own(dataset, tagged.tag_names, len(tagged.tag_names), coder)


def _count(listed: SoundList | TextList, asked: int | None) -> int:
    """Classes of a list: as many as it names, or else as `model.num_classes` says, or the highest label asks for.

    Raises:
        ValueError: The highest label asks for more than can be meant.
    """
    if listed.class_names is not None:
        return len(listed.class_names)
    if asked is not None:
        return asked
    highest = max(entry.label for entry in listed.entries)
    if highest >= max(_MOST_UNNAMED, len(listed.entries)):
        raise ValueError(
            f"{listed.source}: label {highest} is the index of a class, which makes {highest + 1} of them for "
            f"{len(listed.entries)} entries; count the classes from 0, give their names, or set model.num_classes"
        )
    return highest + 1
