"""Which values of files and arguments are numbers, and how large sizes may be."""

from __future__ import annotations

from typing import TypeGuard

LARGEST = 2**31 - 1
"""No size or count is above it: not far beyond, libraries fail by what their own integers hold."""


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a whole or real number; a truth value, which Python counts as a number, is none.

    >>> is_number(2), is_number("2"), is_number(True)
    (True, False, False)
    """
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def sizes_of(text: str, count: int) -> tuple[int, ...] | None:
    """The sizes that a text such as "32x224x224" names, each from 1 to `LARGEST`; None where it names something else.

    >>> sizes_of("32x224x224", 3), sizes_of("400", 1), sizes_of("0x224", 2), sizes_of("1e3", 1)
    ((32, 224, 224), (400,), None, None)
    """
    parts = text.split("x")
    if len(parts) != count or not all(part.isascii() and part.isdecimal() and len(part) <= 10 for part in parts):
        return None
    sizes = tuple(map(int, parts))
    return sizes if all(1 <= size <= LARGEST for size in sizes) else None
