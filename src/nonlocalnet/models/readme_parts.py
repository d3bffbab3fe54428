"""What the README.md of every network says alike: results, classes, licence and links, for the Hugging Face hub.

What a file says is data there, no markup.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nonlocalnet.models.card import Card
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


def page(title: str, parts: Iterable[tuple[str, list[str]]], card: Card) -> str:
    """The text below the metadata: the title, the parts that have lines, the weights' licence, and links.

    Args:
        title: Of the page.
        parts: The title, empty for none, and the lines of each.
        card: What is known of the network.
    """
    all_parts = (
        *parts,
        ("Licence of the weights", [] if card.licence is None else [as_data(card.licence)]),
        ("Links", [f"- {name}: {url}" for name, url in _links()]),
    )
    shown = [[*([f"## {name}", ""] if name else []), *lines] for name, lines in all_parts if lines]
    return "\n".join([f"# {title}", *(line for lines in shown for line in ("", *lines)), "", _OWN, ""])


def origin_lines(card: Card) -> list[str]:
    """Where the weights come from."""
    lines = []
    if card.recipe is not None and card.recipe.get("name"):
        lines.append(f"Trained by the recipe `{as_code(card.recipe['name'])}`.")
    if card.start:
        lines.append(f"Its training started from `{as_code(card.start['file'])}`.")
    if card.source:
        lines.append(f"Its weights come from `{as_code(card.source['file'])}` of {as_data(card.source['format'])}.")
    return lines


def result_lines(results: Mapping[str, Any] | None) -> list[str]:
    """A table of what was measured and published, of a card's `results`."""
    kinds = {name: dict((results or {}).get(name) or {}) for name in ("measured", "published")}
    kinds = {name: values for name, values in kinds.items() if values}
    rows = list(dict.fromkeys(name for values in kinds.values() for name in values))
    if not rows:
        return []
    return [
        f"| | {' | '.join(kinds)} |",
        f"|---|{'---|' * len(kinds)}",
        *(f"| {as_data(row)} | {' | '.join(_value(values.get(row)) for values in kinds.values())} |" for row in rows),
    ]


def class_lines(names: list[str] | None) -> list[str]:
    """Every class with its number."""
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
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else as_data(value)


def as_data(value: object) -> str:
    """A text of a file within a line or table of Markdown: data, no markup."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", " ".join(visible(str(value)).split()))


def as_code(value: object) -> str:
    """`as_data` between backticks."""
    return " ".join(visible(str(value)).split()).replace("`", "'")
