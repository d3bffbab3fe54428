"""The card: what a checkpoint of this library says of itself, whatever it holds.

It stands in a file as a JSON object under "nonlocalnet":

    format          1
    kind            what the network is for, such as "video"
    model           {"architecture": the name of its factory, "arguments": the factory's keyword arguments}
    recipe          the whole training recipe as nested dictionaries, or null
    source          {"format", "file"}: where the weights come from, or null
    start           {"file", "differences"}: what its training started from, and what the numbers meant there, or null
    results         {"measured": {...}, "published": {...}}, or null
    licence         of the weights, or null

and beside these what the kind adds: each kind has a class of its own, in its folder of `models`. A kind is nothing but
that class: this file knows none, except for the two that were written before cards had a kind.
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from typing_extensions import Self

CARD_KEY = "nonlocalnet"
FORMAT = 1

AnyCard = TypeVar("AnyCard", bound="Card")


@dataclass(frozen=True, kw_only=True)
class Card:
    """What every kind's card has; the fields that a kind adds are its own class's.

    Attributes:
        kind: What the network is for; the class says it.
        types: What may stand in a file for a field.
        architecture: Name of the factory that builds the network.
        arguments: The factory's keyword arguments, all of them JSON values.
        recipe: The training recipe as nested dictionaries; None for weights that were not trained here.
        source: "format" and "file" that the weights come from; None for weights that were trained here.
        start: What its training started from with --init: "file", and "differences", what the file's numbers meant
            otherwise there (--init-anyway); None where it started fresh.
        results: "measured" and "published" figures; None where there are none.
        licence: The weights'.
    """

    kind: ClassVar[str]
    types: ClassVar[dict[str, tuple[type, ...]]] = {
        **dict.fromkeys(("recipe", "source", "start", "results"), (dict, type(None))),
        "licence": (str, type(None)),
    }
    _texts: ClassVar[dict[str, tuple[str, ...]]] = {"source": ("format", "file"), "start": ("file",)}

    architecture: str
    arguments: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] | None = None
    source: dict[str, str] | None = None
    start: dict[str, Any] | None = None
    results: dict[str, Any] | None = None
    licence: str | None = None

    def __post_init__(self) -> None:
        # A card is the same whether its network was trained here, opened or converted: a file turns tuples into lists.
        for entry in fields(self):
            object.__setattr__(self, entry.name, _json_like(getattr(self, entry.name)))

    @classmethod
    def from_plain(cls, plain: object, *, path: str | os.PathLike[str]) -> Self:
        """The card of a file.

        Args:
            plain: What stands in the file, of this version or an older one.
            path: The file, for the errors.

        Raises:
            ValueError: If this version does not read it, it is of another kind, or something of it is missing.
        """
        card = checked_plain(plain, path=path)
        if kind_of(card) != cls.kind:
            raise ValueError(f"{path} holds a network of the kind {kind_of(card)!r}, not {cls.kind!r}")
        model = card.get("model")
        if not isinstance(model, Mapping) or not isinstance(model.get("arguments", {}), dict):
            raise ValueError(f"{path}: its card names no architecture and arguments")
        known = {f.name for f in fields(cls)} - {"architecture", "arguments"}
        try:
            contents = {name: cls._read(name, value) for name, value in card.items() if name in known}
            return cls(
                architecture=str(model.get("architecture")), arguments=dict(model.get("arguments", {})), **contents
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: its card is not whole: {error}") from error

    @classmethod
    def _read(cls, name: str, value: Any) -> Any:
        """The value of a field from what stands in the file; a kind whose fields are no plain values overrides it.

        Raises:
            TypeError: If it is none that the field can have.
        """
        wanted = cls.types.get(name)
        if wanted is not None and not isinstance(value, wanted):
            raise TypeError(f"its {name} is a {type(value).__name__}")
        lacks = [entry for entry in cls._texts.get(name, ()) if value and not isinstance(value.get(entry), str)]
        if lacks:
            raise TypeError(f"its {name} has no text {lacks[0]!r}")
        return value

    def plain(self) -> dict[str, Any]:
        """What stands in the file: JSON values."""
        contents = asdict(self)
        model = {name: contents.pop(name) for name in ("architecture", "arguments")}
        return {"format": FORMAT, "kind": self.kind, "model": model, **contents}


def to_hand_on(card: AnyCard) -> AnyCard:
    """A card for a file that is given to others: its recipe as `without_places` has it."""
    return replace(card, recipe=without_places(card.recipe))


def without_places(recipe: Any) -> Any:
    """A recipe's plain values without the places of files on the machine it ran on, to be given to others.

    >>> without_places({"name": "c2d", "data": {"root": "videos", "train": "/home/a/train.csv"}})
    {'name': 'c2d', 'data': {'root': None, 'train': 'train.csv'}}
    """
    if isinstance(recipe, dict):
        return {name: None if name == "root" else without_places(value) for name, value in recipe.items()}
    if isinstance(recipe, (list, tuple)):
        return [without_places(value) for value in recipe]
    return Path(recipe).name if isinstance(recipe, str) and Path(recipe).is_absolute() else recipe


def kind_of(plain: Mapping[str, Any]) -> str:
    """The kind of a card as it stands in a file.

    >>> kind_of({"format": 1, "kind": "video"})
    'video'
    """
    # Before cards said their kind there were two, of which the detectors' had labels.
    return str(plain.get("kind", "detection" if "labels" in plain else "video"))


def checked_plain(plain: object, *, path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """The card as it stands in a file.

    Raises:
        ValueError: If this version does not read it.
    """
    found = plain.get("format") if isinstance(plain, Mapping) else None
    if not isinstance(plain, Mapping) or found is None:
        raise ValueError(f"{path} has a card that says no format: it is damaged, or another program's")
    if found != FORMAT:
        raise ValueError(
            f"{path} has checkpoint format {reprlib.repr(found)}, this version reads {FORMAT}; update nonlocalnet"
        )
    return plain


def _json_like(value: Any) -> Any:
    """A value as it comes back from a file: lists for tuples, at any depth."""
    if isinstance(value, dict):
        return {name: _json_like(entry) for name, entry in value.items()}
    return [_json_like(entry) for entry in value] if isinstance(value, (list, tuple)) else value
