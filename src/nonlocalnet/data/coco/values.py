"""Values of a JSON file as what they should be: numbers written as text become numbers, null is absent."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_WHOLE = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_PLAIN = {int, float}
# From here on float64 no longer tells whole numbers apart.
_LARGEST_FLOAT = 2**53


def as_number(value: object) -> float | None:
    """A finite number, also one written as text; None for everything else (true and false too).

    >>> as_number(" 5.5 "), as_number(True), as_number(float("nan")), as_number("five")
    (5.5, None, None, None)
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number beyond float64
        return None


def as_whole(value: object) -> int | None:
    """A whole number that 64 bits hold, also one written as text or as 3.0; None for everything else.

    >>> as_whole("3"), as_whole(3.0), as_whole("3.0"), as_whole(3.5), as_whole(2**70)
    (3, 3, 3, None, None)
    """
    if type(value) is int:
        return value if -(2**63) <= value < 2**63 else None
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value)
    number = as_number(value)
    if number is None or isinstance(number, int):
        return number if number is not None and -(2**63) <= number < 2**63 else None
    return int(number) if number.is_integer() and abs(number) < _LARGEST_FLOAT else None


def as_numbers(values: object) -> list[float] | None:
    """A list of finite numbers; None if it is no list, or one of them is none."""
    if not isinstance(values, (list, tuple)):
        return None
    # The usual case, fast: COCO's polygons have 60 million numbers. A sum is finite only if all it adds are.
    if set(map(type, values)) <= _PLAIN:
        try:
            if math.isfinite(sum(values)):
                return list(values)
        except OverflowError:
            pass
    numbers = [as_number(value) for value in values]
    return None if None in numbers else numbers  # pyright: ignore[reportReturnType]


def as_wholes(values: object) -> list[int] | None:
    """A list of whole numbers; None if it is no list, or one of them is none."""
    if not isinstance(values, (list, tuple)):
        return None
    numbers = [as_whole(value) for value in values]
    return None if None in numbers else numbers  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class Entry:
    """One object of a list of the file, and how an error names it.

    Attributes:
        values: Its fields.
        part: The list that it stands in: "images", "annotations", "categories" or "results".
        place: Where in that list, from 0.
        source: The file.
    """

    values: dict[str, Any]
    part: str
    place: int
    source: Path | str

    @property
    def where(self) -> str:
        """File and id, or place where the id is none; "annotations.json: annotation 3"."""
        number = as_whole(self.values.get("id"))
        return f"{self.source}: {_NOUNS[self.part]} {f'at place {self.place}' if number is None else number}"

    def get(self, field: str) -> Any:
        """A field that must be there.

        Raises:
            ValueError: It is absent, or null.
        """
        value = self.values.get(field)
        if value is None:
            raise ValueError(f"{self.where}: an entry of {self.part!r} has no {field!r}, got {short(self.values)}")
        return value

    def whole(self, field: str) -> int:
        """A whole number that must be there.

        Raises:
            ValueError: It is absent, or something else.
        """
        value = self.get(field)
        number = as_whole(value)
        if number is None:
            raise self.refusal(field, "a whole number", value)
        return number

    def refusal(self, field: str, expected: str, value: object) -> ValueError:
        """The error for a field that is not what it must be."""
        return ValueError(f"{self.where}: {field} must be {expected}, got {short(value)}")


def entries(content: object, part: str, *, source: Path | str) -> Iterator[Entry]:
    """The objects of one list of the file.

    Args:
        content: The file's content.
        part: "images", "annotations" or "categories".
        source: The file, for errors.

    Raises:
        ValueError: There is no such list, or an entry is no object.
    """
    listed = content.get(part) if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise ValueError(f"{source} is not in COCO's format: it has no list {part!r}")
    for place, values in enumerate(listed):
        entry = Entry(values if isinstance(values, dict) else {}, part, place, source)
        if entry.values is not values:
            raise ValueError(f"{entry.where}: an entry of {part!r} has no 'id', got {short(values)}")
        yield entry


_NOUNS = {"images": "image", "annotations": "annotation", "categories": "category", "results": "result"}


def short(value: object) -> str:
    """A value for an error: cut where it is long or deep, control characters escaped."""
    return reprlib.repr(value)
