"""A network by name: its row of a table of architectures, and all of its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar


class Architecture(Protocol):
    """What a row has."""

    @property
    def defaults(self) -> dict[str, Any]:
        """Keyword arguments of the factory with their defaults."""
        ...


_Row = TypeVar("_Row", bound=Architecture)


def named_row(architectures: Mapping[Any, _Row], name: str, arguments: Mapping[str, Any]) -> _Row:
    """The row of a name, which takes the arguments.

    Raises:
        ValueError: If there is no such network.
        TypeError: If there is no such argument; named.
    """
    row = architectures.get(name)
    if row is None:
        raise ValueError(f"architecture must be one of {', '.join(architectures)}, got {name!r}")
    known = row.defaults
    unknown = [argument for argument in arguments if argument not in known]
    if unknown:
        raise TypeError(f"{name} takes {', '.join(known)}, got {', '.join(unknown)}")
    return row
