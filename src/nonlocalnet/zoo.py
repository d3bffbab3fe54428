"""A checkpoint file becomes a network with its preprocessing and class names.

A checkpoint of this library is Lightning's, with a plain dictionary, the card, under the key "nonlocalnet":

    format          1
    model           {"architecture": a factory of `nonlocalnet.models`, "arguments": its keyword arguments}
    recipe          the whole recipe as nested dictionaries
    class_names     list of names, or None
    multi_label     whether a video may have several classes: scores are sigmoids, not a softmax
    preprocessing   {"mean", "std", "colour_order", "clip_frames", "frame_stride", "short_side", "crop"}
"""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from nonlocalnet.models import (
    VideoResNet,
    c2d_resnet50,
    c2d_resnet50_control,
    c2d_resnet101,
    c2d_resnet101_control,
    i3d_resnet50,
    i3d_resnet101,
)

CARD_KEY = "nonlocalnet"
FORMAT = 1
ARCHITECTURES = {
    "c2d_resnet50": c2d_resnet50,
    "c2d_resnet101": c2d_resnet101,
    "i3d_resnet50": i3d_resnet50,
    "i3d_resnet101": i3d_resnet101,
    "c2d_resnet50_control": c2d_resnet50_control,
    "c2d_resnet101_control": c2d_resnet101_control,
}
# Lightning's module holds the network under this name.
_PREFIX = "model."


def from_checkpoint(path: str | os.PathLike[str]) -> VideoResNet:
    """Rebuild the network of one of our checkpoints.

    Args:
        path: File such as `best.ckpt` of a training run.

    Returns:
        The network on the CPU in eval mode; its attribute `card` is the checkpoint's card.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, not a checkpoint of this library, or does not fit its own card.
    """
    checkpoint = read_checkpoint(path)
    card = checkpoint[CARD_KEY]
    try:
        model = ARCHITECTURES[card["model"]["architecture"]](**card["model"]["arguments"])
        model.load_state_dict(_network_tensors(checkpoint))
    except (KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: the network does not fit the checkpoint's own card: {reason}") from error
    setattr(model, "card", card)  # noqa: B010  a network built by hand has none, so its class does not declare it
    return model.eval()


def card_of(model: VideoResNet) -> dict[str, Any]:
    """The card of a network from `from_checkpoint`.

    Raises:
        ValueError: If the network comes from elsewhere.
    """
    card = getattr(model, "card", None)
    if not isinstance(card, dict):
        raise ValueError("the network has no card; load it with nonlocalnet.zoo.from_checkpoint")
    return card


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read one of our checkpoints into CPU memory; no code of the file is run.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated or not a checkpoint of this library; says what was found.
    """
    content = _read(Path(path))
    if not isinstance(content, dict) or not isinstance(content.get(CARD_KEY), dict):
        raise ValueError(f"{path} is not a checkpoint of nonlocalnet: it holds {_describe(content)}, and no card")
    found = content[CARD_KEY].get("format")
    if found != FORMAT:
        raise ValueError(f"{path} has checkpoint format {found!r}, this version reads {FORMAT}; update nonlocalnet")
    return content


def read_tensors(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Read the named tensors of a file: one of our checkpoints, or any state dict that `torch.save` wrote.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated or holds no state dict; says what was found.
    """
    content = _read(Path(path))
    if isinstance(content, dict) and CARD_KEY in content:
        return _network_tensors(content)
    for key in ("state_dict", "model_state", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no state dict but {_describe(content)}")
    tensors = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ValueError(f"{path} holds no tensors by name but {_describe(content)}")
    return tensors


def _network_tensors(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    tensors = checkpoint["state_dict"]
    return {name.removeprefix(_PREFIX): value for name, value in tensors.items() if name.startswith(_PREFIX)}


def _read(path: Path) -> Any:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a checkpoint file, such as {path / 'best.ckpt'}")
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise ValueError(f"{path} is empty (0 bytes); it is not a checkpoint")
    try:
        with warnings.catch_warnings():
            # About the pickle's protocol; what matters of it comes as an error.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is not a file of plain tensors ({reason}); it begins with {start!r}") from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError) as error:
        size = path.stat().st_size
        what = "a zip archive that is truncated or not PyTorch's" if start.startswith(b"PK") else "no PyTorch file"
        raise ValueError(f"{path} cannot be read: it is {what} ({size} bytes, beginning with {start!r})") from error


def _describe(content: object) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    names = [str(key) for key in content]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"a dictionary with the keys {', '.join(names[:6])}{more}" if names else "an empty dictionary"
