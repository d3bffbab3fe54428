"""A network becomes a file of another runtime, and the file is run and compared before it gets its name."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.export import ExportedProgram
from typing_extensions import override

from nonlocalnet.formats.exporting.inputs import Inputs, inputs_of
from nonlocalnet.formats.exporting.targets import Target, target_of
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.card import to_hand_on
from nonlocalnet.models.video.geometry import Size
from nonlocalnet.system.files import whole_file
from nonlocalnet.system.odd_files import said_by

log = logging.getLogger(__name__)

TOLERANCE = 1e-4
"""The largest difference that is rounding, as a part of the largest output; whole networks show 1e-7 to 1e-5."""


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how it compares with the network.

    Attributes:
        path: The file.
        target: What kind of file it is.
        inputs: The sizes that it takes, in words.
        output: What it gives, in words.
        difference: The largest difference from the network's own output, over all inputs that were tried.
        largest: The largest output of the network among these, in absolute value.
        tried: The shapes of the inputs that were tried.
    """

    path: Path
    target: Target
    inputs: str
    output: str
    difference: float
    largest: float
    tried: tuple[tuple[int, ...], ...]


def export(
    model: VideoResNet,
    path: str | os.PathLike[str],
    *,
    size: Size | None = None,
    batch: int | None = None,
    scores: bool = False,
    opset: int | None = None,
) -> ExportReport:
    """Write a network as ONNX or as a program of `torch.export`, with its card inside.

    The file takes normalised clips "x" of float32, (B, 3, T, H, W), and gives "y", (B, classes). It is run on two
    inputs and compared with the network; where they differ by more than rounding, no file is left.

    Args:
        model: On the CPU, in eval mode.
        path: The file, by whose ending the kind is known: .onnx or .pt2.
        size: (T, H, W), the only one that the file takes; None for any from the smallest on that one program fits.
        batch: B, the only one that the file takes; None for any.
        scores: Give `model.scores`, the class probabilities that `predict` averages, in place of the logits. Their
            pooling window is a fixed number in the file, so the size is then fixed: None for the card's clip and crop.
        opset: The operator set of ONNX; None for the exporter's own choice.

    Returns:
        What was written, and how it compares.

    Raises:
        ValueError: The ending, a size, or the opset is none that can be; a package is missing; PyTorch's exporter
            cannot export the network so; or the file computes something else.
        OSError: The file cannot be written.
    """
    path = Path(path)
    target = target_of(path)
    target.require()
    if opset is not None and opset < 1:
        raise ValueError(f"opset (--opset) must be at least 1, got {opset}")
    if opset is not None and not target.has_opset:
        raise ValueError(f"{path}: {target.name} has no operator sets: leave out opset (--opset)")
    if model.training:
        raise ValueError("the network is in training mode; call model.eval() first")
    card = to_hand_on(model.whole_card())
    inputs = inputs_of(model, card, size=size, batch=batch, sizes_open=not scores)
    exported = _Scores(model) if scores else model
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporters' own deprecations
        program = _traced(exported, inputs)
        with whole_file(path, new=True) as partial:
            try:
                target.write(program, partial, card=card, opset=opset)
            except OSError:
                raise
            except Exception as error:  # whatever the converter meets
                raise ValueError(f"{path}: PyTorch {torch.__version__} cannot write it: {_reason(error)}") from error
            difference, largest = _compared(exported, target.run(partial), inputs, path=path, target=target)
    kind = "the sigmoid of each class" if card.multi_label else "probabilities"
    output = f"({inputs.describe().partition(',')[0][1:]}, {model.num_classes}) {kind if scores else 'logits'}"
    shapes = tuple(tuple(x.shape) for x in inputs.tried())
    return ExportReport(path, target, inputs.describe(), output, difference, largest, shapes)


class _Scores(nn.Module):
    def __init__(self, model: VideoResNet) -> None:
        super().__init__()
        self.model = model

    @override
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.scores(x)


def _traced(model: nn.Module, inputs: Inputs) -> ExportedProgram:
    try:
        return torch.export.export(model, (inputs.example(),), dynamic_shapes={"x": inputs.dynamic_shapes()})
    except Exception as error:  # whatever the exporter meets
        fix = "" if 3 in inputs.fixed else "; fix the size of the input: --input " + "x".join(map(str, inputs.usual))
        raise ValueError(
            f"PyTorch {torch.__version__} cannot export this network for inputs {inputs.describe()}{fix} "
            f"({_reason(error)})"
        ) from error


def _compared(
    model: nn.Module,
    run: Callable[[torch.Tensor], torch.Tensor],
    inputs: Inputs,
    *,
    path: Path,
    target: Target,
) -> tuple[float, float]:
    """The largest difference and the largest output.

    Raises:
        ValueError: The difference is more than rounding, or the file does not take an input that it should.
    """
    difference = largest = 0.0
    for x in inputs.tried():
        expected = model(x)
        try:
            got = run(x)
        except Exception as error:  # whatever the runtime raises
            raise ValueError(
                f"{path} is not written: {target.runtime} does not run it on {tuple(x.shape)}: {_reason(error)}"
            ) from error
        apart, most = float((got - expected).abs().max()), float(expected.abs().max())
        if not apart <= TOLERANCE * most:  # NaN, too
            raise ValueError(
                f"{path} is not written: in {target.runtime} it differs from the network by {apart:.2g} on an input "
                f"{tuple(x.shape)}, whose largest output is {most:.2g}; rounding is below {TOLERANCE:g} of it"
            )
        difference, largest = max(difference, apart), max(largest, most)
    return difference, largest


def _reason(error: Exception) -> str:
    return said_by(error, at_most=300)
