"""Where the blocks of a network of sequences look, in a user's sound or text."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from typing_extensions import override

from nonlocalnet.explanation import Explanation, explain
from nonlocalnet.formats import OpenedFile, load, plan_sequence
from nonlocalnet.models.sequence.network import SequenceNetwork
from nonlocalnet.runs.sequence.given import read_one
from nonlocalnet.runs.sequence.long import say_if_long
from nonlocalnet.system.typed import refuse_typed

_OF_CLIPS = ("clip", "start", "full", "short_side", "classes", "pairwise", "scale", "subsample")


def explain_weights(opened: OpenedFile, parsed: Namespace, *, device: torch.device) -> Explanation:
    """What `nonlocalnet explain` shows for a file of weights.

    Args:
        opened: A file of a network of sounds or texts.
        parsed: What `explain` takes.
        device: Where the network runs.

    Raises:
        FileNotFoundError: There is no such sound or text.
        ValueError: It cannot be read, or an option is for video networks.
    """
    refuse_typed(parsed, _OF_CLIPS, f"on {opened.path}: it is for videos, and this is a network of sequences")
    network, _ = load(plan_sequence(opened), strict=True)
    return explain_sequence(network.to(device), Path(parsed.file), blocks=parsed.blocks, progress=True)


def explain_sequence(
    network: SequenceNetwork, path: Path, *, blocks: Sequence[str] | None = None, progress: bool = False
) -> Explanation:
    """Where the blocks of a network look in a sound or a text, over its steps.

    What is shown of a sound are its log-mels, of a text the numbers of its tokens' embedding.

    Args:
        network: The network with its card, on the device where it is to run.
        path: The file.
        blocks: Dotted paths; None for all.
        progress: Show progress on standard error.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read, the network has no blocks, or it reads neither sounds nor texts.
    """
    card = network.whole_card()
    x = read_one(card, path).to(next(network.parameters()).device)
    say_if_long(network, path.name, len(x))
    with torch.no_grad():
        steps_1TC = network.front.eval()(x.unsqueeze(0))
    return explain(
        _BehindFront(network),
        steps_1TC.transpose(1, 2),
        blocks=blocks,
        title=path.name,
        network=f"NL {card.architecture}",
        class_names=card.class_names if network.task == "classify" else None,
        progress=progress,
    )


class _BehindFront(nn.Module):
    """A network from the steps of its front on, (1, C, T)."""

    def __init__(self, network: SequenceNetwork) -> None:
        super().__init__()
        self.recurrence, self.head = network.recurrence, network.head

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrence(x.transpose(1, 2))[0])
