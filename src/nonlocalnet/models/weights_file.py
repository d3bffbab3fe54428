"""The file of weights alone, whatever network they are of: safetensors with the card in its metadata."""

from __future__ import annotations

import json
import os
from typing import Any

from torch import Tensor

from nonlocalnet.models.card import CARD_KEY, Card
from nonlocalnet.system.tensor_file import pack, unpack

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def to_bytes(tensors: dict[str, Tensor], card: Card) -> bytes:
    """The content of a file of weights with their card, and the digest of both."""
    return pack(tensors, {CARD_KEY: json.dumps(card.plain())})


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], Any]:
    """Read a file of weights and its card, as it stands there; None where it has none of this library.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no safetensors file, is truncated or damaged.
    """
    tensors, metadata = unpack(path)
    if CARD_KEY not in metadata:
        return tensors, None
    try:
        return tensors, json.loads(metadata[CARD_KEY])
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: the card in its metadata is not JSON: {error}") from error
