"""What a run reads, one row each: what its sequences are made of, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Front = Literal["features", "tokens", "sound"]
Task = Literal["classify", "tag", "regress"]
SourceName = Literal[
    "adding",
    "copy",
    "recall",
    "mentions",
    "recurring_tones",
    "recurring_digits",
    "spoken_digits",
    "sounds",
    "texts",
    "tags",
]


@dataclass(frozen=True)
class Source:
    """One kind of data.

    Attributes:
        front: What a sequence is made of: steps of numbers, tokens, or the samples of a sound.
        task: What is asked: a class or a number for each sequence, or a tag for each step.
        items: What its sequences are called.
        on_disk: Whether `data.root` says where it is; the others are made.
        test_beside_val: Whether there is a test set of its own where `data.test` names none.
    """

    front: Front
    task: Task
    items: str
    on_disk: bool = False
    test_beside_val: bool = True


SOURCES: dict[SourceName, Source] = {
    "adding": Source("features", "regress", "sequences"),
    "copy": Source("tokens", "tag", "sequences"),
    "recall": Source("tokens", "tag", "sequences"),
    "mentions": Source("tokens", "classify", "texts"),
    "recurring_tones": Source("sound", "classify", "sounds"),
    "recurring_digits": Source("sound", "classify", "sounds", on_disk=True),
    "spoken_digits": Source("sound", "classify", "sounds", on_disk=True),
    "sounds": Source("sound", "classify", "sounds", on_disk=True, test_beside_val=False),
    "texts": Source("tokens", "classify", "texts", on_disk=True, test_beside_val=False),
    "tags": Source("tokens", "tag", "sentences", on_disk=True, test_beside_val=False),
}
"""Every kind of data; `nonlocalnet.runs.sequence.config` says what each is."""

_RECURRING: tuple[SourceName, ...] = ("recurring_tones", "recurring_digits")
_LONG: tuple[SourceName, ...] = ("adding", "copy", "recall", "mentions")
_RECORDED: tuple[SourceName, ...] = ("recurring_digits", "spoken_digits", "sounds")
_OWN: tuple[SourceName, ...] = ("sounds", "texts", "tags")

READ_BY: dict[str, tuple[SourceName, ...]] = {
    "root": ("recurring_digits", "spoken_digits", *_OWN),
    **dict.fromkeys(("train", "val", "test"), _OWN),
    **dict.fromkeys(("num_train", "num_val", "num_test", "seed"), (*_LONG, *_RECURRING)),
    "length": _LONG,
    "candidates": ("mentions",),
    "sounds_per_item": _RECURRING,
    "held_out": ("recurring_digits", "spoken_digits"),
    "longest_seconds": _RECORDED,
    "max_unreadable": ("spoken_digits", "sounds"),
    "units": ("texts",),
    **dict.fromkeys(("min_count", "max_words", "max_length"), ("texts", "tags")),
}
"""Fields of the data that only some kinds of data read, and which; what is not here is read by all."""
