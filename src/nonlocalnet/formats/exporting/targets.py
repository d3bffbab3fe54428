"""The kinds of file that a network is exported to, one row each: how one is written, and how it is run again."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from nonlocalnet.models.card import CARD_KEY
from nonlocalnet.models.video.card import VideoCard
from nonlocalnet.system.files import write_content

PT2_CARD = f"{CARD_KEY}.json"
"""The extra file of a .pt2 that holds the card."""


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Attributes:
        name: For people.
        runtime: What runs it here.
        needs: Packages that it takes beside ours.
        write: Writes a program with its card to a path; takes the number of the operator set, too, None for the usual.
        run: Reads a file and gives the function that it holds.
        has_opset: Whether its operators come in numbered sets.
    """

    name: str
    runtime: str
    needs: tuple[str, ...]
    write: Callable[..., None]
    run: Callable[[Path], Callable[[torch.Tensor], torch.Tensor]]
    has_opset: bool

    def require(self) -> None:
        """Refuse what cannot be written here, before anything is read.

        Raises:
            ValueError: Names the missing packages and how to install them.
        """
        missing = [package for package in self.needs if find_spec(package) is None]
        if missing:
            raise ValueError(f"{self.name} needs {' and '.join(missing)}: pip install 'nonlocalnet[export]'")


def target_of(path: Path) -> Target:
    """The row for a file by its ending.

    Raises:
        ValueError: There is none.
    """
    if path.suffix not in TARGETS:
        raise ValueError(f"{path}: the file (-o) must end in {' or '.join(TARGETS)}, got {path.suffix or 'no ending'}")
    return TARGETS[path.suffix]


def _write_onnx(program: ExportedProgram, path: Path, *, card: VideoCard, opset: int | None) -> None:
    # Of a set that it cannot write it logs a traceback, and writes another one.
    with _no_words_of("onnxscript", "torch.onnx"):
        converted = torch.onnx.export(program, dynamo=True, opset_version=opset, verbose=False)
    assert converted is not None
    written = converted.model.opset_imports[""]
    if opset not in (None, written):
        raise ValueError(
            f"opset (--opset) {opset} cannot be written of this network, {written} can: give that, or leave it out"
        )
    converted.model.graph.inputs[0].name, converted.model.graph.outputs[0].name = "x", "y"
    converted.model.metadata_props[CARD_KEY] = json.dumps(card.plain())
    converted.save(path, external_data=False)


@contextlib.contextmanager
def _no_words_of(*names: str) -> Iterator[None]:
    """Quiet loggers of these names and below."""
    before = {logger: logger.level for logger in map(logging.getLogger, names)}
    try:
        for logger in before:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


def _run_onnx(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def _write_pt2(program: ExportedProgram, path: Path, *, card: VideoCard, opset: int | None) -> None:
    assert opset is None
    content = io.BytesIO()  # PyTorch's own writer ends the process where a disk is full
    torch.export.save(program, content, extra_files={PT2_CARD: json.dumps(card.plain())})
    write_content(path, content)


def _run_pt2(path: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    return torch.export.load(path).module()


TARGETS = {
    ".onnx": Target("ONNX", "onnxruntime", ("onnx", "onnxscript", "onnxruntime"), _write_onnx, _run_onnx, True),
    ".pt2": Target("torch.export", "torch.export", (), _write_pt2, _run_pt2, False),
}
