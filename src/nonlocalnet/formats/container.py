"""Which container a file of weights is, and what of its content are tensors by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from nonlocalnet.formats.catalogue import released_file

# The first bytes of a file that torch.save wrote before its zip archives: a pickled magic number.
_TORCH_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def container_of(path: Path) -> Literal["safetensors", "pickle", "torch"]:
    """Told by the first bytes; "torch" where they are none of these, whose reader says what is wrong."""
    if path.is_dir():
        return "torch"
    if not path.exists():
        hint = f"; `nonlocalnet weights {path.name}` fetches it" if released_file(path.name) else ""
        raise FileNotFoundError(f"{path}: there is no such file{hint}")
    with path.open("rb") as file:
        start = file.read(len(_TORCH_LEGACY))
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return "safetensors"
    if start.startswith((b"PK", _TORCH_LEGACY)) or not start:
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
    names = [str(key) for key in content]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"a dictionary with the keys {', '.join(names[:6])}{more}" if names else "an empty dictionary"
