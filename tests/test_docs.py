"""The pages' code names what it uses, and runs where it needs no files of a user's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))
WITHOUT_FILES = ("detection.md", "explain.md", "sequences.md")


def blocks_of(page):
    """Its python blocks, in order; later ones go on from earlier ones."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("page", [page for page in DOCS if blocks_of(page)], ids=lambda page: page.name)
def test_no_block_uses_a_name_that_no_block_before_it_made(page):
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--output-format", "concise", "-"]
    checked = subprocess.run(ruff, input="\n".join(blocks_of(page)), capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", WITHOUT_FILES)
def test_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    (page,) = [page for page in DOCS if page.name == name]
    for number, code in enumerate(blocks_of(page)):
        if "init_process_group" not in code:  # started by torchrun; tests/processes.py has the like
            exec(compile(code, f"{name}, block {number}", "exec"), namespace)
