r"""Which earlier name does a masked mention repeat: a question about real prose, byte by byte.

    A "list" is mutable, a "tuple" is not ... so only a "list" may        the prose
    A "\2" is mutable, a "\1" is not ... so only a "\0" may               x: \0 is the mention asked for
                                                                          target: 1, that is \2

Names are words that stand in quotes or backticks somewhere in the text. Of those mentioned before, K are candidates,
the right one among them, and each of their mentions is one byte, 1 to K, given at random in each item: as with the
markers of Hermann et al. (arXiv 1506.03340), a name is known by what is said of it here, not from other texts. The last
mention of the right one lies at least `min_distance` bytes before; so a name that stands nearer is not the answer.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from nonlocalnet.data.generated.videos import check_range
from nonlocalnet.data.padded import SequenceItem, index_of, item_of

MASK = 0
MAX_CANDIDATES = 8
"""Bytes 1 to 8 stand for names; from 9, the tab, prose begins."""

_QUOTED = re.compile(rb"[`\"]([A-Za-z_][\w.]{2,})(?:\(\))?[`\"]")
_WORD = re.compile(rb"[A-Za-z_][\w.]*\w")


class _Mention(NamedTuple):
    start: int
    end: int
    name: bytes


class _Question(NamedTuple):
    document: int
    first: int  # of the document's mentions, the first within reach
    asked: int


class Mentions(Dataset[SequenceItem]):
    """Pieces of prose with a mention to restore: x int64 (T,), bytes; the target int64 () in [0, K), the name.

    An item is a function of (seed, index). A chance answer is right in 1 of K items; `guesses` has two others to
    compare with.

    Args:
        documents: The prose, each in one piece.
        num_items: How many, at least 1.
        length: Bytes at most, those after the mention included.
        num_candidates: K, from 2 to 8.
        min_distance: Bytes from the last earlier mention of the right name.
        after: Bytes at most after the mention.
        seed: At least 0.

    Raises:
        ValueError: An argument is out of range, a document holds a byte below 9, or the prose has no such mention.
    """

    def __init__(
        self,
        documents: Sequence[str],
        *,
        num_items: int,
        length: int = 2000,
        num_candidates: int = 4,
        min_distance: int = 200,
        after: int = 100,
        seed: int,
    ) -> None:
        for name, value, low, high in (
            ("num_items", num_items, 1, None),
            ("num_candidates", num_candidates, 2, MAX_CANDIDATES),
            ("min_distance", min_distance, 0, None),
            ("after", after, 0, None),
            ("length", length, min_distance + after + 2, None),
            ("seed", seed, 0, None),
        ):
            check_range(name, value, low, high)
        self.documents = [document.encode("utf-8", "replace") for document in documents]
        for number, document in enumerate(self.documents):
            if any(byte <= MAX_CANDIDATES for byte in set(document)):
                raise ValueError(f"document {number} holds a control code below 9; such bytes stand for names")
        self.num_items = num_items
        self.length = length
        self.num_candidates = num_candidates
        self.min_distance = min_distance
        self.after = after
        self.seed = seed
        self._mentions = [_mentions(document) for document in self.documents]
        self._questions = [question for number in range(len(self.documents)) for question in self._questions_of(number)]
        if not self._questions:
            raise ValueError(
                f"none of {len(documents)} documents mentions a name again after {num_candidates} names and "
                f"{min_distance} bytes; give more prose, or lower num_candidates or min_distance"
            )

    def __len__(self) -> int:
        return self.num_items

    def __getitem__(self, key: int | tuple[int, int]) -> SequenceItem:
        index = index_of(key, len(self))
        rng = np.random.default_rng([self.seed, index])
        question = self._questions[int(rng.integers(len(self._questions)))]
        mentions = self._mentions[question.document]
        asked = mentions[question.asked]
        earlier = {mention.name for mention in mentions[question.first : question.asked]} - {asked.name}
        others = rng.choice(sorted(earlier), self.num_candidates - 1, replace=False).tolist()
        numbers = rng.permutation(self.num_candidates).tolist()
        byte_of = dict(zip((asked.name, *others), (number + 1 for number in numbers), strict=True))
        x = self._written(question, byte_of)
        return item_of(torch.tensor(list(x)), numbers[0], index)

    def _written(self, question: _Question, byte_of: dict[bytes, int]) -> bytes:
        document, mentions = self.documents[question.document], self._mentions[question.document]
        asked = mentions[question.asked]
        at, end = max(0, asked.start - self._reach), min(len(document), asked.end + self.after)
        parts = []
        for place in range(question.first, len(mentions)):
            mention = mentions[place]
            if mention.end > end:
                break
            if mention.name in byte_of:
                byte = MASK if place == question.asked else byte_of[mention.name]
                parts += [document[at : mention.start], bytes([byte])]
                at = mention.end
        return b"".join((*parts, document[at:end]))

    @property
    def _reach(self) -> int:
        return self.length - self.after - 1

    def _questions_of(self, number: int) -> list[_Question]:
        mentions = self._mentions[number]
        found, first = [], 0
        last_end: dict[bytes, int] = {}
        within: dict[bytes, int] = {}  # how often each name stands from `first` on
        for asked, mention in enumerate(mentions):
            while mentions[first].start < mention.start - self._reach:
                within[mentions[first].name] -= 1
                within = {name: count for name, count in within.items() if count}
                first += 1
            is_far = mention.start - last_end.get(mention.name, mention.start) >= max(1, self.min_distance)
            if mention.name in within and is_far and len(within) >= self.num_candidates:
                found.append(_Question(number, first, asked))
            within[mention.name] = within.get(mention.name, 0) + 1
            last_end[mention.name] = mention.end
        return found


def guesses(x: torch.Tensor) -> tuple[int, int]:
    """The candidate that stands most often before the mask, and the one that stands there last, as answers to an item.

    >>> guesses(torch.tensor([1, 65, 2, 65, 1, 65, 3, 65, 0, 2]))
    (0, 2)
    """
    before = x[: int((x == MASK).nonzero()[0, 0])]
    names = before[(before >= 1) & (before <= MAX_CANDIDATES)]
    return int(torch.bincount(names).argmax()) - 1, int(names[-1]) - 1


def python_topics(part: Literal["train", "test"]) -> list[str]:
    """The prose of Python's own reference, as `help()` shows it: 400,000 characters and more in about 80 topics.

    Every fifth topic is for the test; what topics share word for word is left out of the training. The text is that of
    the Python that runs (its licence is PSF-2.0), so numbers of two versions differ a little.

    Raises:
        ValueError: `part` is neither.
    """
    from pydoc_data.topics import topics  # half a megabyte, for this function alone

    if part not in ("train", "test"):
        raise ValueError(f"part must be train or test, got {part!r}")
    texts = [topics[name] for name in sorted(topics)]
    test = texts[::5]
    if part == "test":
        return test
    known = {_bare(paragraph) for text in test for paragraph in text.split("\n\n")}
    return [
        "\n\n".join(paragraph for paragraph in text.split("\n\n") if _bare(paragraph) not in known)
        for number, text in enumerate(texts)
        if number % 5
    ]


def _bare(paragraph: str) -> str:
    return " ".join(paragraph.split())


def _mentions(document: bytes) -> list[_Mention]:
    """Every mention, quoted or not, of the names that are quoted somewhere in the document."""
    names = set(_QUOTED.findall(document))
    return [_Mention(match.start(), match.end(), match[0]) for match in _WORD.finditer(document) if match[0] in names]
