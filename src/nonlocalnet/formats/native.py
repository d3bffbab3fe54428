"""Files of this library: a training checkpoint (Lightning's), or safetensors; both with the card of `models.card`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from nonlocalnet.formats.format import Format, OpenedFile
from nonlocalnet.formats.load_plan import Hints, LoadPlan
from nonlocalnet.formats.names import NameTable
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.card import CARD_KEY, checked_plain, kind_of, to_hand_on
from nonlocalnet.models.sequence.card import SequenceCard
from nonlocalnet.models.sequence.network import SequenceNetwork, build
from nonlocalnet.models.video.card import VideoCard
from nonlocalnet.models.weights_file import to_bytes

NAMES = NameTable(source="nonlocalnet", rows=(("{name}", "{name}"),))

# Lightning's module holds the network under this name.
_PREFIX = "model."


def recognises(opened: OpenedFile) -> bool:
    """Whether the file has a card."""
    content = opened.content
    if not isinstance(content, dict):
        return False
    return isinstance(content.get(CARD_KEY), dict) or (opened.container == "safetensors" and CARD_KEY in content)


def read(opened: OpenedFile, hints: Hints) -> LoadPlan:
    """Plan the network that the file's card describes.

    Raises:
        ValueError: If this version does not read the card, it is not of a network that classifies videos, or its blocks
            are not those that are asked for.
    """
    plain = opened.content[CARD_KEY]
    kind = kind_of(checked_plain(plain, path=opened.path))
    if kind == "detection":
        raise ValueError(
            f"{opened.path} holds a detector, not a network that classifies videos: use `nonlocalnet detect`"
        )
    if kind == SequenceCard.kind:
        raise ValueError(
            f"{opened.path} holds a network for sequences, not one that classifies videos: open it with "
            "nonlocalnet.from_checkpoint"
        )
    card = VideoCard.from_plain(plain, path=opened.path)
    for name, asked in (("pairwise", hints.pairwise), ("scale", hints.scale)):
        if asked is not None and asked != card.arguments.get(name):
            said = f"says {name}={card.arguments[name]!r}" if name in card.arguments else "describes the whole network"
            raise ValueError(f"{opened.path}: its card {said}, it cannot be loaded with {name}={asked!r}")
    if hints.subsample != "file":
        raise ValueError(f"{opened.path}: its card says what its blocks pool: leave out subsample={hints.subsample!r}")
    return LoadPlan(
        path=opened.path,
        format="nonlocalnet",
        table=NAMES,
        tensors=network_tensors(opened),
        architecture=card.architecture,
        arguments=card.arguments,
        card=card,
        described_by="the checkpoint's own card",
    )


def holds_sequence_network(opened: OpenedFile) -> bool:
    """Whether the file's card is of a network for sequences.

    Raises:
        ValueError: If this version does not read the card.
    """
    if not recognises(opened):
        return False
    return kind_of(checked_plain(opened.content[CARD_KEY], path=opened.path)) == SequenceCard.kind


def plan_sequence(opened: OpenedFile) -> LoadPlan[SequenceNetwork, SequenceCard]:
    """Plan the network for sequences that the file's card describes.

    Args:
        opened: What `open_file` gave.

    Raises:
        ValueError: If the file has no card, or it is not of a network for sequences.
    """
    if not recognises(opened):
        raise ValueError(f"{opened.path} has no card of nonlocalnet: it holds no network for sequences")
    card = SequenceCard.from_plain(opened.content[CARD_KEY], path=opened.path)
    return LoadPlan(
        path=opened.path,
        format="nonlocalnet",
        table=NAMES,
        tensors=network_tensors(opened),
        architecture=card.architecture,
        arguments=card.arguments,
        card=card,
        build=build,
        described_by="the checkpoint's own card",
    )


def write(network: VideoResNet | SequenceNetwork) -> bytes:
    """The content of a `.safetensors`: the weights with the card, which says no places of this machine."""
    return to_bytes(network.state_dict(), to_hand_on(network.whole_card()))


def network_tensors(opened: OpenedFile) -> dict[str, Tensor]:
    """The network's tensors, whatever kind of network it is."""
    if opened.container == "safetensors":
        return opened.tensors
    saved: Any = opened.content.get("state_dict")
    named = saved.items() if isinstance(saved, dict) else ()
    tensors = {name: value for name, value in named if isinstance(name, str) and isinstance(value, Tensor)}
    return {name.removeprefix(_PREFIX): value for name, value in tensors.items() if name.startswith(_PREFIX)}


FORMAT = Format(
    name="nonlocalnet",
    names=(NAMES,),
    recognises=recognises,
    read=read,
    write=write,
    suffix=".safetensors",
    keeps=("class_names", "results"),
    start_from=network_tensors,
)
