"""The video network: the trunk with its blocks, what it was built from, and its file."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, cast

from huggingface_hub import ModelHubMixin, hf_hub_download
from torch import Tensor
from typing_extensions import override

from nonlocalnet.models.card import CARD_KEY
from nonlocalnet.models.video.blocks import BlockOptions, add_blocks
from nonlocalnet.models.video.card import Preprocessing, VideoCard
from nonlocalnet.models.video.control import add_residual_blocks
from nonlocalnet.models.video.geometry import Depth
from nonlocalnet.models.video.trunk import VideoTrunk
from nonlocalnet.models.weights_file import CONFIG_FILE, WEIGHTS_FILE, read_safetensors, to_bytes

# The factories of `nonlocalnet.models`: depth, and what `inflate` is where the arguments do not say.
ARCHITECTURES: dict[str, tuple[Depth, str | None]] = {
    "c2d_resnet50": (50, None),
    "c2d_resnet101": (101, None),
    "i3d_resnet50": (50, "3x1x1"),
    "i3d_resnet101": (101, "3x1x1"),
    "c2d_resnet50_control": (50, None),
    "c2d_resnet101_control": (101, None),
}
_BLOCK_OPTIONS = {field.name for field in dataclasses.fields(BlockOptions)}


class VideoResNet(
    VideoTrunk,
    ModelHubMixin,
    library_name="nonlocalnet",
    paper_url="https://arxiv.org/abs/1711.07971",
    pipeline_tag="video-classification",
    tags=["non-local", "action-recognition"],
):
    """C2D or I3D with its non-local blocks; the factories of `nonlocalnet.models` build it.

    `save_pretrained(folder)`, `from_pretrained(folder or hub id)` and `push_to_hub(id)` are huggingface_hub's; a file
    holds the weights and the card. `VideoTrunk` documents the constructor, the layers and the methods.

    Attributes:
        built_from: The factory's name and keyword arguments; None for a network built by hand.
        card: What is known of the weights; None for a fresh network.
    """

    built_from: dict[str, Any] | None = None
    card: VideoCard | None = None

    @override
    def _save_pretrained(self, save_directory: Path) -> None:
        card = self.card or fresh_card(self)
        (save_directory / WEIGHTS_FILE).write_bytes(to_bytes(self.state_dict(), card))
        (save_directory / CONFIG_FILE).write_text(json.dumps({CARD_KEY: card.plain()}, indent=2) + "\n")

    @classmethod
    @override
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **model_kwargs: Any,
    ) -> VideoResNet:
        if model_kwargs:
            raise ValueError(f"from_pretrained takes no arguments of the network, got {', '.join(model_kwargs)}")
        path = Path(model_id) / WEIGHTS_FILE
        if not Path(model_id).is_dir():
            path = hf_hub_download(
                model_id,
                WEIGHTS_FILE,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
            )
        tensors, plain = read_safetensors(path)
        return from_card(tensors, VideoCard.from_plain(plain, path=path), path=path)


def build(architecture: str, arguments: dict[str, Any]) -> VideoResNet:
    """Build a network from a factory's name and keyword arguments, all of which may be JSON values.

    Raises:
        ValueError: If an argument is out of range.
        KeyError: If there is no such architecture.
        TypeError: If there is no such argument.
    """
    depth, inflate = ARCHITECTURES[architecture]
    arguments = dict(arguments)
    options = BlockOptions(**{name: arguments[name] for name in arguments if name in _BLOCK_OPTIONS})
    trunk = {name: arguments[name] for name in arguments if name not in _BLOCK_OPTIONS}
    nonlocal_blocks, residual_blocks = trunk.pop("nonlocal_blocks", 0), trunk.pop("residual_blocks", 0)
    network = VideoResNet(depth=depth, **{"inflate": inflate, **trunk})
    add_blocks(network, nonlocal_blocks, options=options)
    add_residual_blocks(network, residual_blocks)
    network.built_from = {"architecture": architecture, "arguments": arguments}
    return network


def from_card(tensors: dict[str, Tensor], card: VideoCard, *, path: str | os.PathLike[str]) -> VideoResNet:
    """Rebuild the network that a card describes and fill it.

    Returns:
        The network on the CPU in eval mode.

    Raises:
        ValueError: If the tensors and the card do not fit; names the file.
    """
    try:
        network = build(card.architecture, card.arguments)
        network.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: the network does not fit the checkpoint's own card: {reason}") from error
    network.card = card
    return cast(VideoResNet, network.eval())


def fresh_card(network: VideoResNet) -> VideoCard:
    """The card of a network of which nothing else is known: the release's preprocessing, no names, no results.

    Raises:
        ValueError: If no factory built the network: its file could not say how to.
    """
    if network.built_from is None:
        raise ValueError("the network was built by hand; build it by a factory of nonlocalnet.models to give it a file")
    return VideoCard(**network.built_from, preprocessing=Preprocessing.of_clip(network.clip))
