"""What networks with a card share as folders and on the Hugging Face hub: their file, its card, and a README.md.

class Network(nn.Module, PretrainedNetwork, ModelHubMixin, library_name="nonlocalnet", ...)
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from huggingface_hub import ModelCard, ModelCardData
from torch import Tensor, nn
from typing_extensions import Self

from nonlocalnet.models.card import CARD_KEY, Card, to_hand_on
from nonlocalnet.models.hub import fetch
from nonlocalnet.models.readme_parts import README_FILE, is_own_readme, licence_data
from nonlocalnet.models.weights_file import CONFIG_FILE, WEIGHTS_FILE, read_safetensors, to_bytes
from nonlocalnet.system.files import write_atomically
from nonlocalnet.system.meta import meta_network
from nonlocalnet.system.odd_files import said_by
from nonlocalnet.system.tensor_file import type_flaw

_Network = TypeVar("_Network", bound=nn.Module)


class PretrainedNetwork:
    """Stands before huggingface_hub's `ModelHubMixin` among a network's bases; a kind overrides the first three."""

    def whole_card(self) -> Card:
        """What is known of the weights, of a fresh network what it was built from."""
        raise NotImplementedError

    def readme(self, card: Any, *, hub_id: str | None) -> str:
        """The text of README.md below its metadata."""
        raise NotImplementedError

    @classmethod
    def of_file(cls, tensors: dict[str, Tensor], plain: object, *, path: str | os.PathLike[str]) -> Self:
        """The network of a file's tensors and card, in eval mode."""
        raise NotImplementedError

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
        mixin: Any = super()
        return mixin.push_to_hub(repo_id, model_card_kwargs={**known, **(model_card_kwargs or {})}, **options)

    def generate_model_card(self, *, hub_id: str | None = None) -> ModelCard:
        """README.md with what is known of the weights: usage, input, results, classes, licence and links.

        Args:
            hub_id: OWNER/NAME under which they are pushed; None for a folder.
        """
        card = self.whole_card()
        known = cast(Any, self)._hub_mixin_info.model_card_data.to_dict()
        data = ModelCardData(**known, **licence_data(card.licence))
        return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{self.readme(card, hub_id=hub_id)}")

    def _save_pretrained(self, save_directory: Path) -> None:
        card = to_hand_on(self.whole_card())
        # The hub's library writes a README.md only where there is none.
        if is_own_readme(save_directory / README_FILE):
            (save_directory / README_FILE).unlink()
        tensors = cast(nn.Module, self).state_dict()
        write_atomically(save_directory / WEIGHTS_FILE, to_bytes(tensors, card))
        write_atomically(save_directory / CONFIG_FILE, json.dumps({CARD_KEY: card.plain()}, indent=2) + "\n")

    @classmethod
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
        resume_download: bool | None = None,  # noqa: ARG003  the hub's library hands it on
        **model_kwargs: Any,
    ) -> Any:
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
        return cls.of_file(tensors, plain, path=path)


def filled(
    build: Callable[[str, Mapping[str, Any]], _Network],
    tensors: dict[str, Tensor],
    card: Card,
    *,
    path: str | os.PathLike[str],
) -> _Network:
    """Build the network that a card describes and fill it.

    Returns:
        The network on the CPU in eval mode.

    Raises:
        ValueError: If the tensors and the card do not fit; names the file.
    """
    for name, tensor in tensors.items():
        if (flaw := type_flaw(tensor)) is not None:
            raise ValueError(f"{path}: {name} {flaw}")
    try:
        meta_network(lambda: build(card.architecture, card.arguments), tensors, path=path)
        network = build(card.architecture, card.arguments)
        own = network.state_dict()
        for name, tensor in tensors.items():
            if (flaw := type_flaw(tensor, own.get(name))) is not None:
                raise ValueError(f"{name} {flaw}")
        network.load_state_dict(tensors)
    except Exception as error:  # whatever the arguments of a file may be
        reason = said_by(error)
        raise ValueError(f"{path}: the network does not fit the checkpoint's own card: {reason}") from error
    return network.eval()
