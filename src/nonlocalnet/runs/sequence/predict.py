"""Classes and tags of the sounds and texts of a user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from nonlocalnet.engine.top_classes import top_classes
from nonlocalnet.models.sequence.network import SequenceNetwork
from nonlocalnet.runs.sequence.given import GivenSequence
from nonlocalnet.runs.sequence.long import say_if_long
from nonlocalnet.system.errors import FileProblem, NonFiniteError


@dataclass(frozen=True)
class SequencePrediction:
    """What a network says of one sequence.

    Attributes:
        path: Its file, or the beginning of its text.
        classes: The most probable classes by index, highest first; of a tagger the tag of each token.
        names: Their names.
        scores: Their probabilities.
        tokens: Of a tagger; () else.
        label: What a list says it is; empty without one.
        error: Why it could not be read; empty if it was.
    """

    path: str
    classes: list[int]
    names: list[str]
    scores: list[float]
    tokens: tuple[str, ...]
    label: str
    error: str


def predict_each(
    network: SequenceNetwork, given: Sequence[GivenSequence], *, top: int, device: torch.device
) -> Iterator[SequencePrediction]:
    """Say of each sequence what it is, when it is made.

    Args:
        network: The network with its card; moved to `device` and put in eval mode.
        given: From `nonlocalnet.runs.sequence.given.find_sequences`.
        top: Classes named of each; a tagger names one for every token.
        device: Where it runs.

    Yields:
        One prediction for each, in order.

    Raises:
        ValueError: `top` is below 1.
        NonFiniteError: A score is NaN or infinite.
    """
    if top < 1:
        raise ValueError(f"top (--top) must be at least 1, got {top}")
    network = network.to(device).eval()
    names = network.whole_card().class_names
    for one in given:
        try:
            x = one.read().to(device)
        except (FileProblem, FileNotFoundError, ValueError) as error:
            yield SequencePrediction(one.name, [], [], [], one.tokens, one.label, str(error))
            continue
        say_if_long(network, one.name, len(x))
        with torch.inference_mode():
            scores = network.scores(x.unsqueeze(0))[0].float().cpu()
        if not torch.isfinite(scores).all():
            raise NonFiniteError(f"{one.name}: a score is not finite")
        if one.tokens:
            highest = [top_classes(row, names, 1) for row in scores]
            classes, said, values = ([part[0] for part in parts] for parts in zip(*highest, strict=True))
        else:
            classes, said, values = top_classes(scores, names, top)
        yield SequencePrediction(one.name, classes, said, values, one.tokens, one.label, "")
