"""README.md of a sequence network: the card in words, for the Hugging Face hub. What is not known is left out."""

from __future__ import annotations

from typing import Any

from nonlocalnet.models.readme_parts import as_code, as_data, class_lines, origin_lines, page, result_lines
from nonlocalnet.models.sequence.card import SequenceCard

_INPUTS = {
    "features": "x (B, T, {input_size}), {input_size} numbers a step",
    "tokens": "x (B, T), integers, {vocabulary_size} tokens counted from 0",
    "sound": "x (B, samples) from -1 to 1, at {sample_rate} Hz",
}
_RESULTS = {
    "classify": "a class for each sequence",
    "tag": "a tag for each step",
    "regress": "a number for each sequence",
}


def readme(card: SequenceCard, *, hub_id: str | None) -> str:
    """The text below the metadata.

    Args:
        card: What is known of the network.
        hub_id: OWNER/NAME under which it is pushed; None for a folder, whose text says nothing of the hub.
    """
    parts = (
        ("", _what(card)),
        ("Usage", _usage(card, hub_id)),
        ("Results (%)", result_lines(card.results)),
        ("Classes", class_lines(card.class_names)),
    )
    return page(card.architecture if hub_id is None else hub_id, parts, card)


def _what(card: SequenceCard) -> list[str]:
    arguments = card.arguments
    result = _RESULTS.get(arguments.get("task", "classify"), "scores")
    function = as_data(arguments.get("pairwise", "embedded_gaussian"))
    after: Any = arguments.get("after")
    blocks = "" if after is not None and not after else f" with non-local blocks ({function})"
    return [f"`{as_code(card.architecture)}` of `nonlocalnet`{blocks}: {result}.", *origin_lines(card)]


def _usage(card: SequenceCard, hub_id: str | None) -> list[str]:
    where = "." if hub_id is None else hub_id
    here = "  # this folder" if hub_id is None else ""
    said: dict[str, Any] = {"input_size": "C", "vocabulary_size": "N", "sample_rate": "8000", **card.arguments}
    form = _INPUTS[card.architecture.partition("_")[0]].format(**said)
    return [
        "```python",
        "from nonlocalnet.models.sequence import SequenceNetwork",
        "",
        f'network = SequenceNetwork.from_pretrained("{where}"){here}',
        f"scores = network.scores(x, lengths)  # {as_code(form)}",
        "```",
    ]
