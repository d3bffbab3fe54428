"""The tensors of any file by the names that a network of ours can start from."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from nonlocalnet.formats.caffe2 import tensors_of
from nonlocalnet.formats.names import NameTable
from nonlocalnet.formats.read_pickle import read_pickle
from nonlocalnet.formats.read_torch import read_torch
from nonlocalnet.formats.recognise import describe, network_tensors, recognise, state_of
from nonlocalnet.formats.tables import CAFFE2, IMAGE_RESNET, MMACTION2, MMACTION2_SUBSAMPLED, SLOWFAST
from nonlocalnet.models.card import CARD_KEY
from nonlocalnet.models.weights_file import read_safetensors

_FOREIGN = (SLOWFAST, MMACTION2, MMACTION2_SUBSAMPLED)


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the named tensors of a file.

    Args:
        path: Anything that `from_checkpoint` opens, a 2-D ImageNet ResNet of torchvision, timm or Caffe2, or any state
            dict.

    Returns:
        By our names for the video networks of other programs; by torchvision's for 2-D ResNets; else as they are.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or holds no state dict; says what was found.
    """
    path = Path(path)
    kind = recognise(path)
    if kind == "safetensors":
        return read_safetensors(path)[0]
    if kind == "pickle":
        tensors, _ = tensors_of(read_pickle(path))
        if not tensors:
            raise ValueError(f"{path} holds no arrays by name")
        ours = renamed(tensors, CAFFE2)
        stem = ours.get("stem.conv.weight")
        return _image_names(ours) if stem is not None and stem.ndim == 4 else ours
    content = read_torch(path)
    if isinstance(content, dict) and CARD_KEY in content:
        return network_tensors(content)
    tensors = state_of(content)
    if not tensors:
        what = "no tensors by name" if isinstance(content, dict) else "no state dict"
        raise ValueError(f"{path} holds {what} but {describe(content)}")
    best = max(_FOREIGN, key=lambda table: sum(table.to_ours(name) is not None for name in tensors))
    known = sum(best.to_ours(name) is not None for name in tensors)
    return renamed(tensors, best) if known * 2 > len(tensors) else tensors


def renamed(tensors: dict[str, Tensor], table: NameTable) -> dict[str, Tensor]:
    """Under our names, where the table has them."""
    return {table.to_ours(name) or name: tensor for name, tensor in tensors.items()}


def _image_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Caffe2's image networks under torchvision's names; the classifier is `fc`."""
    named = {IMAGE_RESNET.to_theirs(name) or name: tensor for name, tensor in tensors.items()}
    return {name.replace("head.projection.", "fc."): tensor for name, tensor in named.items()}
