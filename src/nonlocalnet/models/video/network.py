"""The video network: the trunk with its blocks, what it was built from, and its file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from huggingface_hub import ModelCard, ModelCardData, ModelHubMixin
from torch import Tensor
from typing_extensions import override

from nonlocalnet.models.card import CARD_KEY, without_places
from nonlocalnet.models.hub import fetch
from nonlocalnet.models.video.architectures import ARCHITECTURES, ArchitectureName, name_of
from nonlocalnet.models.video.blocks import VideoBlockOptions, add_blocks
from nonlocalnet.models.video.card import Preprocessing, VideoCard
from nonlocalnet.models.video.control import add_residual_blocks
from nonlocalnet.models.video.readme import PAPER_URL, README_FILE, is_own_readme, licence_data, readme
from nonlocalnet.models.video.trunk import VideoTrunk
from nonlocalnet.models.weights_file import CONFIG_FILE, WEIGHTS_FILE, read_safetensors, to_bytes
from nonlocalnet.system.files import write_atomically
from nonlocalnet.system.meta import meta_network
from nonlocalnet.system.odd_files import short
from nonlocalnet.system.tensor_file import PLAIN_DTYPES


class VideoResNet(
    VideoTrunk,
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
    def _save_pretrained(self, save_directory: Path) -> None:
        card = self.card or fresh_card(self)
        card = replace(card, recipe=without_places(card.recipe))
        # The hub's library writes a README.md only where there is none.
        if is_own_readme(save_directory / README_FILE):
            (save_directory / README_FILE).unlink()
        write_atomically(save_directory / WEIGHTS_FILE, to_bytes(self.state_dict(), card))
        write_atomically(save_directory / CONFIG_FILE, json.dumps({CARD_KEY: card.plain()}, indent=2) + "\n")

    @override
    def push_to_hub(self, repo_id: str, *, model_card_kwargs: dict[str, Any] | None = None, **options: Any) -> str:
        """Upload the weights, their card and a README.md that names the model as it is there.

        Args:
            repo_id: OWNER/NAME.
            model_card_kwargs: As `generate_model_card` takes them.
            options: Those of `huggingface_hub.ModelHubMixin.push_to_hub`.

        Returns:
            The address of the commit.
        """
        known = {"hub_id": repo_id} if "/" in repo_id else {}  # without an owner, only the hub knows the whole name
        return super().push_to_hub(repo_id, model_card_kwargs={**known, **(model_card_kwargs or {})}, **options)

    @override
    def generate_model_card(self, *, hub_id: str | None = None) -> ModelCard:
        """README.md with what is known of the weights: usage, input, results, classes, licence and links.

        Args:
            hub_id: OWNER/NAME under which they are pushed; None for a folder.
        """
        card = self.card or fresh_card(self)
        data = ModelCardData(**self._hub_mixin_info.model_card_data.to_dict(), **licence_data(card.licence))
        return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{readme(card, hub_id=hub_id)}")

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
        proxies: dict[str, str] | None = None,
        resume_download: bool | None = None,
        **model_kwargs: Any,
    ) -> VideoResNet:
        if model_kwargs:
            raise ValueError(f"from_pretrained takes no arguments of the network, got {', '.join(model_kwargs)}")
        # Below 1.0 the hub's library hands proxies on; from 1.0 it has no such argument.
        older: dict[str, Any] = {"proxies": proxies} if proxies else {}
        path = Path(model_id) / WEIGHTS_FILE
        if not Path(model_id).is_dir():
            path = fetch(
                model_id,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
                **older,
            )
        tensors, plain = read_safetensors(path)
        if plain is None:
            raise ValueError(f"{path} is a safetensors file without the card of nonlocalnet; it holds no architecture")
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
    row = ARCHITECTURES.get(cast(ArchitectureName, name))
    if row is None:
        raise ValueError(f"architecture must be one of {', '.join(ARCHITECTURES)}, got {name!r}")
    unknown = [argument for argument in arguments if argument not in row.defaults]
    if unknown:
        raise TypeError(f"{name} takes {', '.join(row.defaults)}, got {', '.join(unknown)}")
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
    for name, tensor in tensors.items():
        if tensor.dtype not in PLAIN_DTYPES:
            raise ValueError(f"{path}: {name} is of {tensor.dtype}, which is not read; write it as torch.float32")
    try:
        meta_network(lambda: build(card.architecture, card.arguments), tensors, path=path)
        network = build(card.architecture, card.arguments)
        network.load_state_dict(tensors)
    except Exception as error:  # whatever the arguments of a file may be
        reason = short(" ".join(str(error).split()))
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
