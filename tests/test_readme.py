"""The README's code runs, and what it names exists."""

import re
from pathlib import Path

import pytest

from nonlocalnet.cli.main import COMMANDS
from nonlocalnet.recipes import RECIPES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL))
def test_python_blocks_run(code):
    exec(compile(code, "README.md", "exec"), {})


def test_commands_and_recipes_exist():
    lines = re.findall(r"^nonlocalnet (.+)$", README, flags=re.MULTILINE)
    assert lines
    for line in lines:
        command, *arguments = line.split()
        assert command in COMMANDS
        if command in ("train", "test"):
            assert arguments[0] in {recipe.name for recipe in RECIPES}


def test_links_lead_somewhere():
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if not target.startswith("http")]
    assert targets
    assert all((ROOT / target).exists() for target in targets)
