"""Any file of weights, recognised by its content and planned."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nonlocalnet.formats.caffe2 import plan_caffe2
from nonlocalnet.formats.catalogue import released_file
from nonlocalnet.formats.mmaction2 import plan_mmaction2
from nonlocalnet.formats.plan import Asked, Plan
from nonlocalnet.formats.read_pickle import read_pickle
from nonlocalnet.formats.read_torch import read_torch
from nonlocalnet.formats.slowfast import parse_settings, plan_slowfast
from nonlocalnet.formats.tables import OURS
from nonlocalnet.models.card import CARD_KEY, checked_plain, kind_of
from nonlocalnet.models.video.card import VideoCard
from nonlocalnet.models.weights_file import WEIGHTS_FILE, read_safetensors

# Lightning's module holds the network under this name.
_PREFIX = "model."
# The first bytes of a file that torch.save wrote before its zip archives: a pickled magic number.
_TORCH_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def plan_file(path: str | os.PathLike[str], asked: Asked) -> Plan:
    """Recognise a file and plan its network.

    Args:
        path: A checkpoint of this library (`.ckpt`, `.safetensors`, or a folder that `save_pretrained` wrote), a
            Caffe2 `.pkl`, a PySlowFast `.pyth` or an mmaction2 `.pth`.
        asked: What the caller says of what the file leaves open.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is none of these, is damaged, or leaves something open; says what.
    """
    path = Path(path)
    if (path / WEIGHTS_FILE).is_file():
        path = path / WEIGHTS_FILE
    kind = recognise(path)
    if kind == "safetensors":
        tensors, card = read_safetensors(path)
        return _plan_ours(str(path), tensors, card)
    if kind == "pickle":
        return plan_caffe2(str(path), read_pickle(path), asked)
    return _plan_torch(str(path), read_torch(path), asked)


def recognise(path: Path) -> str:
    """Tell by the first bytes: "safetensors", "pickle" (of arrays) or "torch"; "torch" where they are none of these.

    Raises:
        FileNotFoundError: If there is no such file.
    """
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


def _plan_torch(path: str, content: Any, asked: Asked) -> Plan:
    if isinstance(content, dict) and isinstance(content.get(CARD_KEY), dict):
        return _plan_ours(path, network_tensors(content), content[CARD_KEY])
    tensors = state_of(content)
    if any(name.startswith("s1.pathway0_") for name in tensors):
        return plan_slowfast(path, tensors, parse_settings(content.get("cfg"), path=path), asked)
    if any(name.startswith("backbone.") for name in tensors):
        meta = content.get("meta")
        return plan_mmaction2(path, tensors, meta if isinstance(meta, Mapping) else {}, asked)
    hint = ""
    if "conv1.weight" in tensors and "layer1.0.conv1.weight" in tensors:
        hint = (
            "; start a video network from a 2-D ResNet with nonlocalnet.formats.inflate or `train RECIPE --init FILE`"
        )
    raise ValueError(
        f"{path} is not a checkpoint of nonlocalnet: it holds {describe(content)}, and no card; nor has it the names "
        f"of PySlowFast (s1.pathway0_stem...) or mmaction2 (backbone...){hint}"
    )


def _plan_ours(path: str, tensors: dict[str, Tensor], plain: object) -> Plan:
    if kind_of(checked_plain(plain, path=path)) == "detection":
        raise ValueError(f"{path} holds a detector, not a network that classifies videos: use `nonlocalnet detect`")
    card = VideoCard.from_plain(plain, path=path)
    return Plan(
        path=path,
        format="nonlocalnet",
        table=OURS,
        tensors=tensors,
        architecture=card.architecture,
        arguments=card.arguments,
        card=card,
        described_by="the checkpoint's own card",
    )


def network_tensors(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The network's tensors in one of our training checkpoints."""
    tensors = checkpoint.get("state_dict")
    tensors = tensors if isinstance(tensors, dict) else {}
    return {name.removeprefix(_PREFIX): value for name, value in tensors.items() if name.startswith(_PREFIX)}


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
    tensors = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if tensors and all(name.startswith("module.") for name in tensors):  # saved by DistributedDataParallel
        return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def describe(content: object) -> str:
    """What a file holds, for an error."""
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    names = [str(key) for key in content]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"a dictionary with the keys {', '.join(names[:6])}{more}" if names else "an empty dictionary"
