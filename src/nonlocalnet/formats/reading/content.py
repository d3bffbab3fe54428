"""What stands in a file, walked through once: afterwards whoever walks through it again comes to an end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nonlocalnet.system.odd_files import short

_MOST_VALUES = 2_000_000
_DEEPEST = 100

Keys = tuple[Any, ...]


def values_of(content: Any) -> Iterator[tuple[Keys, Any]]:
    """Every value in nested dictionaries, lists, tuples and sets that is none of these, with the keys down to it.

    One that is shared comes as often as it is named: so do the copies that are made of it later.

    Raises:
        ValueError: If they are more than any file of weights has, or nested deeper, as in a circle.
    """
    keys: Keys = ()
    unfinished: list[tuple[Keys, Iterator[tuple[Keys, Any]]]] = [((), iter([((), content)]))]
    seen = 0
    while unfinished:
        above, entries = unfinished[-1]
        entry = next(entries, None)
        if entry is None:
            unfinished.pop()
            continue
        seen += 1
        if seen > _MOST_VALUES or len(unfinished) > _DEEPEST:
            raise ValueError(
                f"dictionaries and lists that unfold to more than {_MOST_VALUES:,} values or more than {_DEEPEST} deep"
            )
        keys, value = (*above, *entry[0]), entry[1]
        if isinstance(value, dict):
            unfinished.append((keys, (((key,), item) for key, item in value.items())))
        elif isinstance(value, (list, tuple, set, frozenset)):
            unfinished.append((keys, (((), item) for item in value)))
        else:
            yield keys, value


def dotted(keys: Iterable[Any]) -> str:
    """Where a value stands, for an error: "state_dict.conv1.weight"."""
    return ".".join(short(key, 200) if isinstance(key, str) else f"({type(key).__name__})" for key in keys)
