"""README.md of a video network: the card in words, as the Hugging Face hub shows it. What is not known is left out."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nonlocalnet.models.video.card import Preprocessing, VideoCard
from nonlocalnet.system.visible import visible

PAPER_URL = "https://arxiv.org/abs/1711.07971"
# The hub's names of licences; any other is "other" there, with its name.
_LICENCES = {"CC-BY-NC 4.0": "cc-by-nc-4.0", "Apache-2.0": "apache-2.0", "MIT": "mit", "CC-BY 4.0": "cc-by-4.0"}


README_FILE = "README.md"
# Not shown by the hub.
_OWN = "<!-- Saving again writes this file anew, unless this line is deleted. -->"


def is_own_readme(path: Path) -> bool:
    """Whether a README.md is one of ours that nobody has claimed, by the remark at its end."""
    return path.is_file() and path.read_bytes().rstrip().endswith(_OWN.encode())


def licence_data(licence: str | None) -> dict[str, Any]:
    """The licence as the hub's metadata spell it; nothing where it is not known."""
    if licence is None:
        return {}
    known = _LICENCES.get(licence)
    name = re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-")
    return {"license": known} if known else {"license": "other", "license_name": name}


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
        ("Results (%)", _results(card.results)),
        ("Classes", _classes(card.class_names)),
        ("Licence of the weights", [] if card.licence is None else [_data(card.licence)]),
        ("Links", [f"- {name}: {url}" for name, url in _links()]),
    )
    shown = [[*([f"## {title}", ""] if title else []), *lines] for title, lines in parts if lines]
    title = f"# {card.architecture if hub_id is None else hub_id}"
    return "\n".join([title, *(line for lines in shown for line in ("", *lines)), "", _OWN, ""])


def _what(card: VideoCard) -> list[str]:
    arguments = card.arguments
    places: Any = arguments.get("nonlocal_blocks") or 0
    blocks = places if isinstance(places, int) else len(places)
    network = f"`{_code(card.architecture)}` of `nonlocalnet`"
    if blocks:
        function = _data(arguments.get("pairwise", "embedded_gaussian"))
        network += f" with {blocks} non-local block{'' if blocks == 1 else 's'} ({function})"
    count = arguments.get("num_classes")
    classes = "" if count is None else f" of {count} classes"
    kinds = f"scores{classes}, of which a video may have several" if card.multi_label else f"scores{classes}"
    lines = [f"{network}: from a video to {kinds}."]
    if card.recipe is not None and card.recipe.get("name"):
        lines.append(f"Trained by the recipe `{_code(card.recipe['name'])}`.")
    if card.start is not None:
        lines.append(f"Its training started from `{_code(card.start['file'])}`.")
    if card.source is not None:
        lines.append(f"Its weights come from `{_code(card.source['file'])}` of {_data(card.source['format'])}.")
    return lines


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


def _results(results: Mapping[str, Any] | None) -> list[str]:
    kinds = {name: dict((results or {}).get(name) or {}) for name in ("measured", "published")}
    kinds = {name: values for name, values in kinds.items() if values}
    rows = list(dict.fromkeys(name for values in kinds.values() for name in values))
    if not rows:
        return []
    return [
        f"| | {' | '.join(kinds)} |",
        f"|---|{'---|' * len(kinds)}",
        *(f"| {_data(row)} | {' | '.join(_value(values.get(row)) for values in kinds.values())} |" for row in rows),
    ]


def _classes(names: list[str] | None) -> list[str]:
    if names is None:
        return []
    # Every line begins with a number, so no name can end the block.
    return ["```text", *(f"{index} {' '.join(visible(name).split())}" for index, name in enumerate(names)), "```"]


def _links() -> Iterator[tuple[str, str]]:
    """The paper, and what this package's own metadata name: its code and docs, once they have an address."""
    yield "Paper", PAPER_URL
    try:
        entries = importlib.metadata.metadata("nonlocalnet").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for entry in entries:
        name, _, url = entry.partition(", ")
        yield name, url


def _value(value: object) -> str:
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else _data(value)


def _data(value: object) -> str:
    """A text of a file within a line or table of Markdown: data, no markup."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", " ".join(visible(str(value)).split()))


def _code(value: object) -> str:
    """The same between backticks."""
    return " ".join(visible(str(value)).split()).replace("`", "'")
