"""What a command imports before it knows that it needs it, and what it says of its output before it builds anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nonlocalnet.commands.main import main
from nonlocalnet.functional import kernels

_SHORT = """
import sys, time
from nonlocalnet.commands.main import main
for argument in ("--help", "--version", "trian"):
    main([argument])
heavy = {"torch", "torchvision", "numpy", "rich", "jsonargparse", "lightning", "huggingface_hub"} & set(sys.modules)
assert not heavy, heavy
assert time.process_time() < 0.3, time.process_time()
"""

# What recipes, video networks, blocks in models of others, and a loader's worker take.
_WITHOUT = """
import sys
import torch
import nonlocalnet
import nonlocalnet.recipes
import nonlocalnet.runs.video.data
import nonlocalnet.engine.loaders
nonlocalnet.models.c2d_resnet50(width=4, nonlocal_blocks=1)
nonlocalnet.insert_nonlocal(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1)), after=["0"])
heavy = {"torchvision", "torch._dynamo", "lightning", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""


# Ctrl-C is a traceback until `main` hears the signals.
_BEFORE_SIGNALS = """
import sys
before = set(sys.modules)  # what the installation imports as Python starts
import nonlocalnet.commands.main
slow = {"logging", "pathlib", "concurrent.futures", "multiprocessing", "typing_extensions", "difflib"}
slow &= set(sys.modules) - before
assert not slow, slow
"""


@pytest.mark.parametrize("code", [_SHORT, _WITHOUT, _BEFORE_SIGNALS], ids=["short", "without", "before signals"])
def test_only_what_is_needed_is_imported(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_names_that_are_imported_when_asked_for_can_be_listed() -> None:
    import nonlocalnet.models.detection

    for package in (nonlocalnet, nonlocalnet.models, nonlocalnet.models.detection):
        assert set(package.__all__) <= set(dir(package))
        with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'i3d'"):
            package.i3d  # noqa: B018


def test_marked_for_the_compiler_as_its_own_function_marks() -> None:
    assert vars(torch.compiler.assume_constant_result(lambda: None)).items() <= vars(kernels.capability).items()


@pytest.mark.parametrize("arguments", [("--help",), ("data", "--help")])
def test_a_reader_that_goes_early_is_no_error(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "nonlocalnet.commands.main", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no file here that takes nothing")
def test_standard_output_that_is_full_is_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "nonlocalnet.commands.main", "--help"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("nonlocalnet: error: standard output: No space left on device")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        ("train", "c2d_r50", "--data.root", "/no/such"),
        ("train", "coco_mask_r50", "--data.root", "/no/such"),
        ("test", "c2d_r50", "--weights", "/no/such.ckpt"),
        ("test", "coco_mask_r50", "--weights", "/no/such.ckpt"),
        ("detect", "a.jpg", "--weights", "/no/such.ckpt"),
    ],
)
def test_an_output_folder_that_is_not_empty_comes_first(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").touch()
    assert main([*command, "--out", str(tmp_path)]) == 2
    assert f"output folder {tmp_path} exists and is not empty (it holds thesis.tex)" in capsys.readouterr().err
