"""Every format that is read and written, and what is done with any of them.

A further one is a file like `slowfast.py` and an entry in FORMATS.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from nonlocalnet.formats import caffe2, huggingface_folder, image_resnet, mmaction2, native, slowfast
from nonlocalnet.formats.format import Format, OpenedFile
from nonlocalnet.formats.load_plan import Hints, LoadPlan
from nonlocalnet.formats.reading.container import container_of, describe, state_of
from nonlocalnet.formats.reading.read_pickle import read_pickle
from nonlocalnet.formats.reading.read_torch import read_torch
from nonlocalnet.formats.wrappers import without_wrappers
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.card import CARD_KEY
from nonlocalnet.models.hub import fetch, is_hub_id
from nonlocalnet.models.sequence.network import SequenceNetwork
from nonlocalnet.models.weights_file import WEIGHTS_FILE, read_safetensors
from nonlocalnet.system.odd_files import one_sentence, require_file

log = logging.getLogger(__name__)

_OF_DETECTORS = ("backbone.body.", "backbone.fpn.", "rpn.head.", "roi_heads.")
_CLASSIFIER = ("fc.weight", "fc.bias")  # of a 2-D ResNet

# The first that recognises a file reads it.
FORMATS: tuple[Format, ...] = (native.FORMAT, slowfast.FORMAT, mmaction2.FORMAT, caffe2.FORMAT)


def open_file(path: str | os.PathLike[str] | OpenedFile) -> OpenedFile:
    """Read a file of weights into CPU memory; no code of it is run.

    Args:
        path: The file, a folder that `save_pretrained` wrote, or OWNER/NAME of a model on the Hugging Face hub that
            `push_to_hub` wrote; that must be a text, and no path here. What is opened already is handed back.

    Raises:
        FileNotFoundError: If there is no such file or model.
        ValueError: If the file is damaged, or holds more than tensors and plain values; says what was found.
        OSError: If the hub cannot be reached.
    """
    if isinstance(path, OpenedFile):
        return path
    if is_hub_id(path):
        fetched = fetch(str(path))
        log.info("%s: from the Hugging Face hub, at %s", path, fetched)
        with one_sentence(fetched):
            return replace(_read(fetched), path=str(path))
    if not str(path):
        raise ValueError("the name of the file of weights is empty; it would mean the current folder, '.'")
    path = Path(path)
    if (path / WEIGHTS_FILE).is_file():
        path = path / WEIGHTS_FILE
    with one_sentence(path):
        return _read(path)


def _read(path: Path) -> OpenedFile:
    if not path.is_dir() and path.exists():
        require_file(path)
    for known in FORMATS:
        opened = None if known.opens is None or path.is_dir() else known.opens(path)
        if opened is not None:
            return opened
    container = container_of(path)
    if container == "safetensors":
        tensors, card = read_safetensors(path)
        if card is None and (card := huggingface_folder.card_beside(path)) is not None:
            tensors = huggingface_folder.network_tensors(tensors)
        if card is not None:
            return OpenedFile(str(path), container, {CARD_KEY: card}, tensors)
        tensors = _unwrapped(path, tensors)
        return OpenedFile(str(path), container, dict(tensors), tensors)
    if container == "pickle":
        content = read_pickle(path)
        blobs = content.get("blobs")
        return OpenedFile(str(path), container, _unwrapped(path, blobs if isinstance(blobs, dict) else content), {})
    content = read_torch(path)
    return OpenedFile(str(path), container, content, _unwrapped(path, state_of(content), content=content))


def _unwrapped(path: Path, tensors: dict[str, Any], *, content: Collection[str] = ()) -> dict[str, Any]:
    """Without what a training program put before the names, which is said where that program is not ours."""
    kept, wrappers = without_wrappers(tensors, is_known=_is_known)
    if wrappers and CARD_KEY not in content:
        log.info("%s: its names begin with %r, which is left off", path, "".join(wrappers))
    return kept


def _is_known(name: str) -> bool:
    """Whether a network of some program has a tensor of that name, ours and torchvision's detectors among them."""
    if name.startswith(_OF_DETECTORS) or slowfast.NAMES.to_theirs(name) is not None:
        return True
    tables = (image_resnet.NAMES, *(table for known in FORMATS if known is not native.FORMAT for table in known.names))
    return name in _CLASSIFIER or any(table.to_ours(name) is not None for table in tables)


def plan_file(file: str | os.PathLike[str] | OpenedFile, hints: Hints | None = None) -> LoadPlan:
    """Recognise a file and plan its network.

    Args:
        file: A file of one of FORMATS, a folder that `save_pretrained` wrote, or what `open_file` gave.
        hints: What the caller says of what the file leaves open.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is none of these, is damaged, or leaves something open; says what.
    """
    opened = open_file(file)
    with one_sentence(opened.path):
        for known in FORMATS:
            if known.recognises(opened):
                return known.read(opened, hints or Hints())
    hint = ""
    if "conv1.weight" in opened.tensors and "layer1.0.conv1.weight" in opened.tensors:
        hint = (
            "; start a video network from a 2-D ResNet with nonlocalnet.formats.inflate or `train RECIPE --init FILE`"
        )
    programs = " or ".join(known.described for known in FORMATS if known.described)
    raise ValueError(
        f"{opened.path} is not a checkpoint of nonlocalnet: it holds {describe(opened.content)}, and no card; nor has "
        f"it the names of {programs}{hint}"
    )


def read_tensors(file: str | os.PathLike[str] | OpenedFile) -> dict[str, Tensor]:
    """The tensors of a file by the names that a network of ours can start from.

    Args:
        file: Anything that `from_checkpoint` opens, a 2-D ImageNet ResNet of torchvision, timm or Caffe2, or any state
            dict; or what `open_file` gave.

    Returns:
        By our names for the video networks of other programs; by torchvision's for 2-D ResNets; else as they are.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or holds no state dict; says what was found.
    """
    opened = open_file(file)
    with one_sentence(opened.path):
        for known in FORMATS:
            if known.start_from is not None and known.recognises(opened):
                return known.start_from(opened)
    tensors = opened.tensors
    if not tensors:
        what = "no tensors by name" if isinstance(opened.content, dict) else "no state dict"
        raise ValueError(f"{opened.path} holds {what} but {describe(opened.content)}")
    # By the table that knows most of the names: a part of a network, or one of another graph, is a start, too.
    tables = [table for known in FORMATS if known.start_from is None for table in known.names]
    best = max(tables, key=lambda table: sum(table.to_ours(name) is not None for name in tensors))
    known_names = sum(best.to_ours(name) is not None for name in tensors)
    return best.renamed(tensors) if known_names * 2 > len(tensors) else tensors


def encode(network: VideoResNet | SequenceNetwork, *, to: str) -> bytes:
    """The content of a file that holds a network.

    Args:
        network: Built by a factory or opened by `from_checkpoint`; of one for sequences only "nonlocalnet" is written.
        to: Name of one of FORMATS: "nonlocalnet" (safetensors with the card), "slowfast" (`.pyth` with its settings),
            "mmaction2" (`.pth` with its configuration) or "caffe2" (`.pkl`; it cannot say the clip, which the reader
            must know).

    Returns:
        The bytes; reading them back gives a network with the same outputs.

    Raises:
        ValueError: If the program would build another graph from it; names every difference.
    """
    for known in FORMATS:
        if known.name != to:
            continue
        if not isinstance(network, SequenceNetwork):
            return known.write(network)
        if known is native.FORMAT:
            return native.write(network)
        raise ValueError(f"no other program reads networks for sequences: to must be 'nonlocalnet', got {to!r}")
    raise ValueError(f"to must be one of {', '.join(known.name for known in FORMATS)}, got {to!r}")
