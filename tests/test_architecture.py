"""docs/architecture.md names files and functions that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
SOURCE = ROOT / "src" / "nonlocalnet"


def hops() -> list[tuple[str, str]]:
    """File and function of every hop; one without a file is in that of the hop before."""
    found, file = [], ""
    for path, function in re.findall(r"`([\w/]+\.py)?:([\w.]+)`", PAGE):
        file = path or file
        found.append((file, function))
    return found


def test_every_hop_exists() -> None:
    assert len(hops()) >= 80
    for file, function in hops():
        text = (SOURCE / file).read_text()
        for name in function.split("."):
            assert re.search(rf"^ *(def|class) {name}\b", text, re.MULTILINE), f"{file}:{function}"


def test_every_room_stands_on_a_floor() -> None:
    rooms = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(re.findall(r"^\| \d \| `(\w+)/`", PAGE, re.MULTILINE))
