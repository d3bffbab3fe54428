"""docs/reproducing.md is what the recipes say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from nonlocalnet.commands.main import COMMANDS
from nonlocalnet.recipes import VIDEO_RECIPES, recipe

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "reproducing.md").read_text()


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reproducing", DOCS / "make_reproducing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells() -> dict[str, str]:
    """The memory of each recipe as the page has it."""
    return dict(re.findall(r"`train (\w+)` \|[^|]*\|[^|]*\| (\d+ clips?: [\d.]+, [\d.]+) \|", PAGE))


def test_the_page_holds_every_row_and_is_up_to_date(script: ModuleType) -> None:
    written = cells()
    # All but the generated videos, whose demo says how they end, and the user's own.
    assert set(written) == {r.name for r in VIDEO_RECIPES if not r.name.startswith(("longrange", "finetune"))}
    assert script.page(lambda r: written[r.name]) == PAGE, "run python docs/make_reproducing.py"


@pytest.mark.parametrize("name", ["c2d_r50", "charades_nl_i3d_r101_5block"])
def test_the_memory_is_what_is_counted_today(script: ModuleType, name: str) -> None:
    assert script.needs(recipe(name)) == cells()[name]


def test_its_commands_exist() -> None:
    lines = re.findall(r"^    nonlocalnet (\w+)", PAGE, flags=re.MULTILINE)
    assert lines
    assert set(lines) <= set(COMMANDS)
