"""README.md of a video network: the card in words, as the Hugging Face hub shows it. What is not known is left out."""

from __future__ import annotations

from typing import Any

from nonlocalnet.models.readme_parts import as_code, as_data, class_lines, origin_lines, page, result_lines
from nonlocalnet.models.video.card import Preprocessing, VideoCard


def readme(card: VideoCard, *, hub_id: str | None) -> str:
    """The text below the metadata.

    Args:
        card: What is known of the network.
        hub_id: OWNER/NAME under which it is pushed; None for a folder, whose text says nothing of the hub.
    """
    parts = (
        ("", _what(card)),
        ("Usage", _usage(card, hub_id)),
        ("Input", _input(card.preprocessing)),
        ("Results (%)", result_lines(card.results)),
        ("Classes", class_lines(card.class_names)),
    )
    return page(card.architecture if hub_id is None else hub_id, parts, card)


def _what(card: VideoCard) -> list[str]:
    arguments = card.arguments
    places: Any = arguments.get("nonlocal_blocks") or 0
    blocks = places if isinstance(places, int) else len(places)
    network = f"`{as_code(card.architecture)}` of `nonlocalnet`"
    if blocks:
        function = as_data(arguments.get("pairwise", "embedded_gaussian"))
        network += f" with {blocks} non-local block{'' if blocks == 1 else 's'} ({function})"
    count = arguments.get("num_classes")
    classes = "" if count is None else f" of {count} classes"
    kinds = f"scores{classes}, of which a video may have several" if card.multi_label else f"scores{classes}"
    return [f"{network}: from a video to {kinds}.", *origin_lines(card)]


def _usage(card: VideoCard, hub_id: str | None) -> list[str]:
    where = "." if hub_id is None else hub_id
    here = "  # this folder" if hub_id is None else ""
    names = " of `model.card.class_names`" if card.class_names is not None else ""
    return [
        "```python",
        "from nonlocalnet.models import VideoResNet",
        "",
        f'model = VideoResNet.from_pretrained("{where}"){here}',
        "scores = model.scores(clips)  # (B, 3, T, H, W), normalised as model.card.preprocessing says",
        "```",
        "",
        f"One score for each class{names}. On the command line:",
        "",
        "```",
        f"nonlocalnet predict video.mp4 --weights {where}",
        "```",
    ]


def _input(preprocessing: Preprocessing) -> list[str]:
    clip = f"{preprocessing.clip_frames} frames, {preprocessing.frame_stride} apart"
    numbers = f"{preprocessing.colour_order}, (x - {preprocessing.mean}) / {preprocessing.std} of bytes 0 to 255"
    return [
        "| | |",
        "|---|---|",
        f"| clip | {clip} |",
        f"| size | short side resized to {preprocessing.short_side} pixels; tested on crops of {preprocessing.crop} |",
        f"| numbers | {numbers} |",
    ]
