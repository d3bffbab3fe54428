"""The Triton kernels against the textbook in float64, by Triton's interpreter on a CPU."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed (it comes with PyTorch on Linux)"
)


@needs_triton
@pytest.mark.parametrize("pairwise", ["embedded_gaussian", "concatenation", "dot_product"])
def test_forms_with_kernels_equal_the_textbook(pairwise: str) -> None:
    script = Path(__file__).with_name("interpreted.py")
    paths = os.pathsep.join([str(script.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, str(script), pairwise], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "checked"
