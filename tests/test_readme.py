"""The README's code runs, and what it names exists."""

import re
from pathlib import Path

import pytest

from formats.originals import caffe2
from nonlocalnet.commands.main import COMMANDS
from nonlocalnet.recipes import RECIPES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL))
def test_python_blocks_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"\w+\.pkl", code):  # a released name, on a tiny network
        caffe2.write_pickle(tmp_path / name, caffe2.make_blobs(width=2, i3d=True, nonlocal_blocks=5))
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
