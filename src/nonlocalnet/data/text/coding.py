"""Texts as numbers: their UTF-8 bytes, or the words of a vocabulary built from the training data."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

PADDING, UNKNOWN = "<padding>", "<unknown>"

# Runs of letters, digits and underscores, and every other character that is not white space on its own.
_WORD = re.compile(r"\w+|[^\w\s]")


class TextCoder(Protocol):
    """How a text becomes numbers.

    Attributes:
        size: How many numbers there are, that of padding included: the rows of an embedding.
        padding: The number that shorter sequences of a batch are padded with; no text has it.
    """

    @property
    def size(self) -> int:
        """As above."""
        ...

    @property
    def padding(self) -> int:
        """As above."""
        ...

    def encode(self, text: str) -> torch.Tensor:
        """int64 (T,)."""
        ...


@dataclass(frozen=True)
class ByteCoder:
    """UTF-8 bytes as they are, 0 to 255, and 256 for padding.

    >>> ByteCoder().encode("né").tolist()
    [110, 195, 169]
    """

    size: int = field(default=257, init=False)
    padding: int = field(default=256, init=False)

    def encode(self, text: str) -> torch.Tensor:
        """int64 (T,): the bytes. Halves of characters (surrogates) are coded as what UTF-8 would make of them."""
        return torch.tensor(list(text.encode("utf-8", "surrogatepass")), dtype=torch.int64)

    def decode(self, numbers: torch.Tensor) -> str:
        """The text, up to its padding; bytes that are no UTF-8 as U+FFFD."""
        return bytes(number for number in numbers.tolist() if number != self.padding).decode("utf-8", "replace")


def words_of(text: str) -> list[str]:
    """The words and marks of a text, in lower case.

    >>> words_of("It isn't 3.5!")
    ['it', 'isn', "'", 't', '3', '.', '5', '!']
    """
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class WordCoder:
    """The words of a vocabulary, numbered; 0 is padding, 1 any word that is not in it.

    Attributes:
        words: Every word by its number; the first two are `PADDING` and `UNKNOWN`.
        lower: Whether words are looked up in lower case.
    """

    words: tuple[str, ...]
    lower: bool = True
    padding: int = field(default=0, init=False)
    unknown: int = field(default=1, init=False)
    _number_of: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.words[:2] != (PADDING, UNKNOWN):
            raise ValueError(f"words must begin with {PADDING} and {UNKNOWN}, got {list(self.words[:2])}")
        if len(set(self.words)) < len(self.words):
            raise ValueError("words must be different ones; one stands there more than once")
        object.__setattr__(self, "_number_of", {word: number for number, word in enumerate(self.words)})

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(self.words)

    def encode(self, text: str) -> torch.Tensor:
        """int64 (T,): a number for each of `words_of` the text."""
        return self.encode_tokens(words_of(text))

    def encode_tokens(self, tokens: Sequence[str]) -> torch.Tensor:
        """int64 (T,): a number for each token."""
        written = (token.lower() if self.lower else token for token in tokens)
        # The two names are not words, should a text hold them.
        numbers = (self._number_of.get(word, self.unknown) for word in written)
        return torch.tensor([number or self.unknown for number in numbers], dtype=torch.int64)


def build_vocabulary(
    tokens: Iterable[str], *, min_count: int = 1, max_words: int | None = None, lower: bool = True
) -> WordCoder:
    """The words of the training data, the most frequent first, those of one count in alphabetical order.

    Args:
        tokens: Every token of the training data, as often as it stands there (`words_of` for running text).
        min_count: A rarer word is unknown.
        max_words: At most so many words beside the two special ones.
        lower: Whether upper and lower case are one word.

    Raises:
        ValueError: A count is below 1, or no word is frequent enough.
    """
    for name, value in (("min_count", min_count), ("max_words", max_words)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    counts = Counter(token.lower() if lower else token for token in tokens)
    for special in (PADDING, UNKNOWN):
        counts.pop(special, None)
    ranked = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
    if not ranked:
        raise ValueError(f"no word stands {min_count} times or more among {counts.total()} tokens; lower min_count")
    return WordCoder((PADDING, UNKNOWN, *ranked[:max_words]), lower=lower)
