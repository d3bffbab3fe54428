"""A file of weights becomes a network with its preprocessing and class names, and a network becomes a file.

    from_checkpoint     path to network, in one call
    open_file           a file, read once; then `plan_file`, `read_tensors`, `read_checkpoint` take it from there
    plan_file, load     what is to be built from it; then the network and what became of each tensor
    encode              a network to the bytes of a file, this library's or another program's

`known.FORMATS` has one row for each program.
"""

from __future__ import annotations

import os
from typing import Any

from nonlocalnet.formats.blocks.read import block_from_state_dict
from nonlocalnet.formats.catalogue import CATALOGUE, ReleasedFile
from nonlocalnet.formats.fill import LoadReport
from nonlocalnet.formats.format import Format, OpenedFile
from nonlocalnet.formats.inflate import InflationReport, inflate
from nonlocalnet.formats.initialise import InitReport, initialise
from nonlocalnet.formats.known import FORMATS, encode, open_file, plan_file, read_tensors
from nonlocalnet.formats.load import load
from nonlocalnet.formats.load_plan import Hints, LoadPlan, Scale, Subsample
from nonlocalnet.formats.native import holds_sequence_network, plan_sequence
from nonlocalnet.formats.reading.container import describe
from nonlocalnet.formats.start import Start, start_network
from nonlocalnet.functional import Pairwise
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.card import CARD_KEY, Card, checked_plain, kind_of
from nonlocalnet.models.sequence.card import SequenceCard
from nonlocalnet.models.sequence.network import SequenceNetwork
from nonlocalnet.models.video.card import Preprocessing, VideoCard

__all__ = [
    "CARD_KEY",
    "CATALOGUE",
    "FORMATS",
    "Card",
    "Format",
    "Hints",
    "InflationReport",
    "InitReport",
    "LoadPlan",
    "LoadReport",
    "OpenedFile",
    "Preprocessing",
    "ReleasedFile",
    "SequenceCard",
    "Start",
    "VideoCard",
    "block_from_state_dict",
    "card_of",
    "encode",
    "from_checkpoint",
    "holds_sequence_network",
    "inflate",
    "initialise",
    "kind_of",
    "load",
    "open_file",
    "plan_file",
    "plan_sequence",
    "read_checkpoint",
    "read_tensors",
    "start_network",
]


def from_checkpoint(
    path: str | os.PathLike[str],
    *,
    clip: str | None = None,
    pairwise: Pairwise | None = None,
    scale: Scale | None = None,
    subsample: Subsample = "file",
    num_classes: int | None = None,
    strict: bool = True,
) -> VideoResNet | SequenceNetwork:
    """Open a file of weights as the network that its program built.

    The log states what was taken from where.

    Args:
        path: A checkpoint of this library (`.ckpt`, `.safetensors`, or a folder of `save_pretrained`, also in
            transformers' form), a Caffe2 `.pkl` of the authors' release, a PySlowFast `.pyth` or an mmaction2 `.pth`.
            No code of it is run.
        clip: Frames x frame stride. Needed for a Caffe2 file whose name has none, where it decides the strides; the
            settings in a file win over it, and in the other formats it never changes the graph.
        pairwise: The pairwise function of the blocks, where names and settings leave it open.
        scale: Factor on the logits of their softmax, a number or "rsqrt"; None for what the settings or the program
            have.
        subsample: What the blocks pool, where the file leaves it open, as a Caffe2 file does: (1, 2, 2), None for no
            pooling, or "file" for what the file or its program has.
        num_classes: Replace the classifier, or a tagger's, by a fresh one for so many classes, unless it has as many.
        strict: Refuse missing, unused and mismatched tensors; False loads what fits and warns of the rest.

    Returns:
        The network on the CPU in eval mode, for videos or for sequences, as the file's card says; other programs' are
        for videos. Its attribute `card` says its preprocessing, class names and source.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, is none of these, leaves something open, or strictly, does not fit.
    """
    hints = Hints(clip=clip, pairwise=pairwise, scale=scale, subsample=subsample)
    opened = open_file(path)
    if holds_sequence_network(opened):
        return _sequence_network(opened, hints, num_classes=num_classes, strict=strict)
    plan = plan_file(opened, hints)
    own = plan.arguments.get("num_classes")
    if num_classes is not None and num_classes != own:
        plan = plan.with_classes(num_classes)
    elif own is None:
        raise ValueError(f"{plan.path} has no classifier: give num_classes= for a fresh one")
    return load(plan, strict=strict)[0]


def _sequence_network(opened: OpenedFile, hints: Hints, *, num_classes: int | None, strict: bool) -> SequenceNetwork:
    if hints != Hints():
        raise ValueError(
            f"{opened.path}: its card describes the whole network for sequences: leave out clip, pairwise, scale and "
            "subsample"
        )
    plan = plan_sequence(opened)
    if num_classes not in (None, plan.arguments.get("num_classes")):
        plan = plan.with_classes(num_classes)
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


def read_checkpoint(file: str | os.PathLike[str] | OpenedFile) -> dict[str, Any]:
    """Everything that stands in one of our training checkpoints; no code of the file is run.

    Args:
        file: Its path, or what `open_file` gave.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated or not a training checkpoint of this library; says what was found.
    """
    opened = open_file(file)
    content = opened.content
    if opened.container == "safetensors":
        raise ValueError(f"{opened.path} holds weights alone: it is no training checkpoint")
    if not isinstance(content, dict) or not isinstance(content.get(CARD_KEY), dict):
        raise ValueError(f"{opened.path} is not a checkpoint of nonlocalnet: it holds {describe(content)}, and no card")
    checked_plain(content[CARD_KEY], path=opened.path)
    return content
