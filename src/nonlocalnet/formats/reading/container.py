"""Which container a file of weights is, and what of its content are tensors by name."""

from __future__ import annotations

import reprlib
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from nonlocalnet.formats.catalogue import released_file
from nonlocalnet.formats.reading.read_torch import TORCH_LEGACY
from nonlocalnet.system.media import refuse_media
from nonlocalnet.system.odd_files import require_file, short

_EXPORTED = (".onnx", ".pt2")


def container_of(path: Path) -> Literal["safetensors", "pickle", "torch"]:
    """Told by the first bytes; "torch" where they are none of these, whose reader says what is wrong."""
    if path.is_dir():
        return "torch"
    if not path.exists():
        hint = f"; `nonlocalnet weights {path.name}` fetches it" if released_file(path.name) else ""
        raise FileNotFoundError(f"{path}: there is no such file{hint}")
    require_file(path)
    refuse_media(path, expected="a file of weights")
    with path.open("rb") as file:
        start = file.read(len(TORCH_LEGACY))
    if start.lstrip().startswith(b"<"):
        raise ValueError(f"{path} is a page of the web (it begins with {start!r}), no file of weights: fetch it again")
    if path.suffix in _EXPORTED:
        raise ValueError(f"{path} is an exported program, no weights: name the checkpoint that it was exported from")
    if path.suffix != ".safetensors" and start.startswith((b'{"', b"{\n", b"{\r", b"{ ", b"[")):
        raise ValueError(f"{path} is JSON (it begins with {start!r}), no file of weights: name the file beside it")
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return "safetensors"
    if start.startswith((b"PK", TORCH_LEGACY)) or not start:
        return "torch"
    # Protocols 2 and up begin with their number, protocols 0 and 1 of a dictionary with a mark or an empty one.
    return "pickle" if start[:1] == b"\x80" or start[:1] in (b"(", b"}") else "torch"


def state_of(content: Any) -> dict[str, Tensor]:
    """The tensors by name in whatever a program saved; empty where there are none.

    A name that is not text is left out by no program: it makes the file none of theirs.
    """
    for key in ("state_dict", "model_state", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        return {}
    return {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}


def describe(content: object) -> str:
    """What a file holds, for an error."""
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    names = [short(key, 100) if isinstance(key, str) else reprlib.repr(key) for key in islice(content, 6)]
    more = f" and {len(content) - 6} more" if len(content) > 6 else ""
    return f"a dictionary with the keys {', '.join(names)}{more}" if names else "an empty dictionary"
