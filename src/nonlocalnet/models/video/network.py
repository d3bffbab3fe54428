"""The video network: the trunk with its blocks, what it was built from, and its file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from huggingface_hub import ModelHubMixin
from torch import Tensor
from typing_extensions import override

from nonlocalnet.models.architecture import named_row
from nonlocalnet.models.pretrained import PretrainedNetwork, filled
from nonlocalnet.models.readme_parts import PAPER_URL
from nonlocalnet.models.video.architectures import ARCHITECTURES, ArchitectureName, name_of
from nonlocalnet.models.video.blocks import VideoBlockOptions, add_blocks
from nonlocalnet.models.video.card import Preprocessing, VideoCard
from nonlocalnet.models.video.control import add_residual_blocks
from nonlocalnet.models.video.readme import readme
from nonlocalnet.models.video.trunk import VideoTrunk


class VideoResNet(
    VideoTrunk,
    PretrainedNetwork,
    ModelHubMixin,
    library_name="nonlocalnet",
    paper_url=PAPER_URL,
    pipeline_tag="video-classification",
    tags=["non-local", "action-recognition"],
):
    """C2D or I3D with its non-local blocks; the factories of `nonlocalnet.models` build it.

    `save_pretrained(folder)`, `from_pretrained(folder or hub id)` and `push_to_hub(id)` are huggingface_hub's; a file
    holds the weights and the card, which README.md says in words. `VideoTrunk` documents the constructor, the layers
    and the methods.

    Attributes:
        built_from: The factory's name and keyword arguments; None for a network built by hand.
        card: What is known of the weights; None for a fresh network.
    """

    built_from: dict[str, Any] | None = None
    card: VideoCard | None = None

    @property
    def architecture(self) -> ArchitectureName:
        """Name of its C2D or I3D, such as "i3d_resnet50"; that of a control says nothing of its added blocks."""
        return name_of(depth=self.depth, inflated=self.inflate is not None)

    @override
    def scores(self, x: Tensor, *, multi_label: bool | None = None) -> Tensor:
        """As `VideoTrunk.scores`; `multi_label` None is what the card says, False where there is none."""
        if multi_label is None:
            multi_label = self.card is not None and self.card.multi_label
        return super().scores(x, multi_label=multi_label)

    @override
    def whole_card(self) -> VideoCard:
        """What is known of the weights, of a fresh network what it was built from."""
        return self.card or fresh_card(self)

    @override
    def readme(self, card: VideoCard, *, hub_id: str | None) -> str:
        """The text of README.md below its metadata."""
        return readme(card, hub_id=hub_id)

    @classmethod
    @override
    def of_file(cls, tensors: dict[str, Tensor], plain: object, *, path: str | os.PathLike[str]) -> VideoResNet:
        """The network of a file's tensors and card, in eval mode."""
        return from_card(tensors, VideoCard.from_plain(plain, path=path), path=path)


def build(name: str, arguments: Mapping[str, Any]) -> VideoResNet:
    """Build a network by name.

    Args:
        name: One of `ARCHITECTURES`.
        arguments: Keyword arguments of its factory, all of which may be JSON values; its defaults stand for the rest.

    Returns:
        The network in training mode; it says what it was built from.

    Raises:
        ValueError: If there is no such network, or an argument is out of range.
        TypeError: If there is no such argument; named.
    """
    row = named_row(ARCHITECTURES, name, arguments)
    given = {**row.defaults, **arguments}
    trunk = dict(given)
    places = {kind: trunk.pop(kind, 0) for kind in ("nonlocal_blocks", "residual_blocks")}
    options = {option: trunk.pop(option) for option in vars(VideoBlockOptions()) if option in trunk}
    network = VideoResNet(depth=row.depth, **trunk)
    add_blocks(network, places["nonlocal_blocks"], options=VideoBlockOptions(**options))
    add_residual_blocks(network, places["residual_blocks"])
    network.built_from = {"architecture": name, "arguments": given}
    return network


def from_card(tensors: dict[str, Tensor], card: VideoCard, *, path: str | os.PathLike[str]) -> VideoResNet:
    """Rebuild the network that a card describes and fill it.

    Returns:
        The network on the CPU in eval mode.

    Raises:
        ValueError: If the tensors and the card do not fit; names the file.
    """
    network = filled(build, tensors, card, path=path)
    network.card = card
    return network


def fresh_card(network: VideoResNet) -> VideoCard:
    """The card of a network of which nothing else is known: the release's preprocessing, no names, no results.

    Raises:
        ValueError: If no factory built the network: its file could not say how to.
    """
    if network.built_from is None:
        raise ValueError("the network was built by hand; build it by a factory of nonlocalnet.models to give it a file")
    return VideoCard(**network.built_from, preprocessing=Preprocessing.of_clip(network.clip))
