"""Texts and tagged sentences as sequences of numbers: the data sets, `dataset[index]` or `dataset[epoch, index]`."""

import torch
from torch.utils.data import Dataset

from nonlocalnet.data.padded import SequenceItem, index_of, item_of
from nonlocalnet.data.text.coding import TextCoder, WordCoder
from nonlocalnet.data.text.tagged import TaggedList
from nonlocalnet.data.text.text_list import TextList


class CodedTexts(Dataset[SequenceItem]):
    """Labelled texts: x int64 (T,), the target the class.

    Args:
        texts: The texts.
        coder: How a text becomes numbers; batches are padded with its `padding`.
        max_length: Of a longer text its first numbers are taken; None for all of them.

    Raises:
        ValueError: `max_length` is below 1.
    """

    def __init__(self, texts: TextList, coder: TextCoder, *, max_length: int | None = None) -> None:
        _check_length(max_length)
        self.texts = texts
        self.coder = coder
        self.max_length = max_length

    def __len__(self) -> int:
        return len(self.texts.entries)

    def __getitem__(self, key: int | tuple[int, int]) -> SequenceItem:
        index = index_of(key, len(self))
        entry = self.texts.entries[index]
        return item_of(self.coder.encode(entry.text)[: self.max_length], entry.label, index)


class TaggedTokens(Dataset[SequenceItem]):
    """Tagged sentences: x int64 (T,), the target int64 (T,), a tag a token.

    Args:
        tagged: The sentences.
        coder: The vocabulary.
        max_length: Of a longer sentence its first tokens are taken; None for all of them.

    Raises:
        ValueError: `max_length` is below 1.
    """

    def __init__(self, tagged: TaggedList, coder: WordCoder, *, max_length: int | None = None) -> None:
        _check_length(max_length)
        self.tagged = tagged
        self.coder = coder
        self.max_length = max_length

    def __len__(self) -> int:
        return len(self.tagged.sentences)

    def __getitem__(self, key: int | tuple[int, int]) -> SequenceItem:
        index = index_of(key, len(self))
        sentence = self.tagged.sentences[index]
        x, tags = self.coder.encode_tokens(sentence.tokens), torch.tensor(sentence.tags)
        return item_of(x[: self.max_length], tags[: self.max_length], index)


def _check_length(max_length: int | None) -> None:
    if max_length is not None and max_length < 1:
        raise ValueError(f"max_length must be at least 1, got {max_length}")
