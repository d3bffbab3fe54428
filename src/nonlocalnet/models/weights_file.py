"""The file of weights alone, whatever network they are of: safetensors with the card in its metadata."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from nonlocalnet.models.card import CARD_KEY, Card

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def to_bytes(tensors: dict[str, Tensor], card: Card) -> bytes:
    """The content of a file of weights with their card."""
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return to_safetensors(contiguous, {CARD_KEY: json.dumps(card.plain())})


def read_safetensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], Any]:
    """Read a file of weights and its card, as it stands there; None where it has none of this library.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no safetensors file, or is truncated.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    except SafetensorError as error:
        raise ValueError(f"{path} is no whole safetensors file: {error}") from error
    if CARD_KEY not in metadata:
        return tensors, None
    try:
        return tensors, json.loads(metadata[CARD_KEY])
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: the card in its metadata is not JSON: {error}") from error
