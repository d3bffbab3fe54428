"""What a run's checkpoints say of themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from nonlocalnet import formats
from nonlocalnet.data.text.coding import ByteCoder, TextCoder, WordCoder
from nonlocalnet.engine.resume import SavedRun
from nonlocalnet.models.sequence.card import SequenceCard
from nonlocalnet.runs.sequence.config import SequenceRecipe, recipe_from_plain
from nonlocalnet.runs.sequence.data import Known
from nonlocalnet.system.odd_files import one_sentence


def make_card(recipe: SequenceRecipe, arguments: dict[str, Any], known: Known) -> SequenceCard:
    """The card of the recipe's checkpoints.

    Args:
        recipe: The run.
        arguments: Of its network.
        known: Its classes and vocabulary.
    """
    return SequenceCard(
        architecture=recipe.model.architecture,
        arguments=arguments,
        recipe=dataclasses.asdict(recipe),
        class_names=None if known.class_names is None else list(known.class_names),
        vocabulary=known.vocabulary,
        lower=known.coder.lower if isinstance(known.coder, WordCoder) else True,
    )


def read_card(path: Path) -> SequenceCard:
    """The card of a checkpoint."""
    return SequenceCard.from_plain(formats.read_checkpoint(path)[formats.CARD_KEY], path=path)


def read_run(path: Path) -> SavedRun:
    """The run that a checkpoint is of."""
    checkpoint = formats.read_checkpoint(path)
    with one_sentence(path):
        card = SequenceCard.from_plain(checkpoint[formats.CARD_KEY], path=path)
        return SavedRun(recipe_from_plain(card.recipe or {}), int(checkpoint["global_step"]), card.start)


def coder_of(card: SequenceCard) -> TextCoder | None:
    """How texts become the numbers that a network of tokens was trained on; None for a network of something else.

    Raises:
        ValueError: It has tokens that its file does not name.
    """
    if not card.architecture.startswith("tokens_"):
        return None
    if card.vocabulary is not None:
        return WordCoder(tuple(card.vocabulary), lower=card.lower)
    size = card.arguments.get("vocabulary_size", 256)
    if size < 256:
        raise ValueError(f"its file names none of its {size} tokens, which are no bytes: it cannot read texts")
    return ByteCoder()


def known_of(card: SequenceCard) -> Known:
    """The classes and the vocabulary of a network."""
    names = None if card.class_names is None else tuple(card.class_names)
    return Known(names, coder_of(card) if card.vocabulary is not None else None)
