"""A file of weights becomes a network with its preprocessing and class names, and a network becomes a file.

A training checkpoint of this library is Lightning's, with the card of `nonlocalnet.models.card` under the key
"nonlocalnet"; a file of weights alone is safetensors with the same card.
"""

from __future__ import annotations

import os
from typing import Any

from nonlocalnet.formats.blocks.read import block_from_state_dict
from nonlocalnet.formats.catalogue import CATALOGUE, ReleasedFile
from nonlocalnet.formats.encode import Target, encode
from nonlocalnet.formats.inflate import InflationReport, inflate
from nonlocalnet.formats.initial import read_tensors
from nonlocalnet.formats.load import LoadReport, load
from nonlocalnet.formats.plan import Asked, Plan, Scale
from nonlocalnet.formats.read_torch import read_torch
from nonlocalnet.formats.recognise import describe, plan_file
from nonlocalnet.functional import Pairwise
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.card import CARD_KEY, Card, checked_plain, kind_of
from nonlocalnet.models.video.card import Preprocessing, VideoCard

__all__ = [
    "CARD_KEY",
    "CATALOGUE",
    "Asked",
    "Card",
    "InflationReport",
    "LoadReport",
    "Plan",
    "Preprocessing",
    "ReleasedFile",
    "Target",
    "VideoCard",
    "block_from_state_dict",
    "card_of",
    "encode",
    "from_checkpoint",
    "inflate",
    "kind_of",
    "load",
    "plan_file",
    "read_checkpoint",
    "read_tensors",
]


def from_checkpoint(
    path: str | os.PathLike[str],
    *,
    clip: str | None = None,
    pairwise: Pairwise | None = None,
    scale: Scale | None = None,
    num_classes: int | None = None,
    strict: bool = True,
) -> VideoResNet:
    """Open a file of weights as the network that its program built.

    The log states what was taken from where.

    Args:
        path: A checkpoint of this library (`.ckpt`, `.safetensors`, or a folder of `save_pretrained`), a Caffe2 `.pkl`
            of the authors' release, a PySlowFast `.pyth` or an mmaction2 `.pth`. No code of it is run.
        clip: Frames x frame stride. Needed for a Caffe2 file whose name has none, where it decides the strides; the
            settings in a file win over it, and in the other formats it never changes the graph.
        pairwise: The pairwise function of the blocks, where names and settings leave it open.
        scale: Factor on the logits of their softmax, a number or "rsqrt"; None for what the settings or the program
            have.
        num_classes: Replace the classifier by a fresh one for so many classes, unless it has as many.
        strict: Refuse missing, unused and mismatched tensors; False loads what fits and warns of the rest.

    Returns:
        The network on the CPU in eval mode. Its attribute `card` says its preprocessing, class names and source.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, is none of these, leaves something open, or strictly, does not fit.
    """
    plan = plan_file(path, Asked(clip=clip, pairwise=pairwise, scale=scale))
    own = plan.arguments.get("num_classes")
    if num_classes is not None and num_classes != own:
        plan = plan.with_classes(num_classes)
    elif own is None:
        raise ValueError(f"{plan.path} has no classifier: give num_classes= for a fresh one")
    return load(plan, strict=strict)[0]


def card_of(model: VideoResNet) -> VideoCard:
    """The card of a network from `from_checkpoint`.

    Raises:
        ValueError: If the network comes from elsewhere.
    """
    card = getattr(model, "card", None)
    if not isinstance(card, VideoCard):
        raise ValueError("the network has no card; load it with nonlocalnet.formats.from_checkpoint")
    return card


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read one of our training checkpoints into CPU memory; no code of the file is run.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated or not a training checkpoint of this library; says what was found.
    """
    content = read_torch(path)
    if not isinstance(content, dict) or not isinstance(content.get(CARD_KEY), dict):
        raise ValueError(f"{path} is not a checkpoint of nonlocalnet: it holds {describe(content)}, and no card")
    checked_plain(content[CARD_KEY], path=path)
    return content
