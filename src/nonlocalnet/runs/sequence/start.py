"""A file starts a network of sequences: its numbers must mean there what they meant where they were trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from nonlocalnet import formats
from nonlocalnet.formats.graph import block_facts
from nonlocalnet.formats.start import BLOCK_MEANING, Start, block_differences, require_same_meaning
from nonlocalnet.models.sequence.card import SequenceCard
from nonlocalnet.models.sequence.network import SequenceNetwork, build

# Of a front, what its numbers are; its sizes show in the shapes.
_FRONT_MEANING = ("sample_rate", "n_fft", "hop_length", "f_min", "f_max", "mean", "std")


def start_sequence_network(
    network: SequenceNetwork, path: str | Path, *, vocabulary: list[str] | None, anyway: bool
) -> Start:
    """Copy whatever of a file's tensors fits into a network, in place.

    Args:
        network: To be trained.
        path: Anything that `nonlocalnet.formats.read_tensors` takes. What is compared stands in the card of a file of
            this library; other files say nothing of what their numbers mean.
        vocabulary: What each token stands for here; None for bytes or no text.
        anyway: Start from numbers that mean something else here, too; the log says what.

    Returns:
        What it started from.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If no tensor fits, or, unless `anyway`, the numbers mean something else; every difference is named.
    """
    opened = formats.open_file(path)
    found: list[str] = []
    plain = opened.content.get(formats.CARD_KEY) if isinstance(opened.content, dict) else None
    if isinstance(plain, dict) and formats.kind_of(plain) != SequenceCard.kind:
        raise ValueError(
            f"{opened.path} holds a network of the kind {formats.kind_of(plain)!r}, from which none of sequences starts"
        )
    if isinstance(plain, dict):
        card = SequenceCard.from_plain(plain, path=opened.path)
        with torch.device("meta"):
            theirs = build(card.architecture, card.arguments)
        found = block_differences(block_facts(network), block_facts(theirs), names=BLOCK_MEANING)
        found += _front_differences(network.built_from or {}, theirs.built_from or {})
        if card.vocabulary != vocabulary:
            found.append("the tokens are other words")
    require_same_meaning(found, path=opened.path, anyway=anyway)
    formats.initialise(network, formats.read_tensors(opened), source=opened.path)
    return Start(Path(opened.path).name, tuple(found))


def _front_differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    here, there = ours.get("arguments", {}), theirs.get("arguments", {})
    return [
        f"{name} is {here[name]!r} here and {there[name]!r} there"
        for name in _FRONT_MEANING
        if name in here and name in there and here[name] != there[name]
    ]
