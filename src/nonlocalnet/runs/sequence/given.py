"""What a user gives a network of sequences: sounds, texts and sentences, as the numbers that it reads."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from nonlocalnet.data.sound.reader import read_sound
from nonlocalnet.data.text.coding import TextCoder, WordCoder
from nonlocalnet.data.text.text_list import read_text_file
from nonlocalnet.models.sequence.card import SequenceCard
from nonlocalnet.runs.sequence.card import coder_of


def reads_sounds(card: SequenceCard) -> bool:
    """Whether a network reads sounds, and else texts.

    Raises:
        ValueError: It reads numbers, of which there are no files.
    """
    if card.architecture.startswith("features_"):
        raise ValueError(
            "this network reads steps of numbers, not sounds or texts: use it from Python, "
            "network.scores(x, lengths) of nonlocalnet.from_checkpoint"
        )
    return card.architecture.startswith("sound_")


def read_one(card: SequenceCard, path: Path) -> Tensor:
    """The numbers of a file: a sound's samples, or the tokens of a text.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read, or the network reads neither.
    """
    if reads_sounds(card):
        return read_sound(path, sample_rate=card.arguments["sample_rate"])
    coder = coder_of(card)
    assert coder is not None
    return encode(card, coder, read_text_file(path))


def encode(card: SequenceCard, coder: TextCoder, text: str) -> Tensor:
    """int64 (T,) of a text; a tagger's tokens are what white space parts.

    Raises:
        ValueError: The text is empty.
    """
    if not text.strip():
        raise ValueError("the text is empty; give one with a word")
    if card.arguments.get("task") == "tag" and isinstance(coder, WordCoder):
        return coder.encode_tokens(text.split())
    return coder.encode(text.strip()) if text.strip() else torch.zeros(0, dtype=torch.int64)
