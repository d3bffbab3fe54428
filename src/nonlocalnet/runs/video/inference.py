"""How a network runs when it only scores: memory order, folded BatchNorm, bfloat16, compilation."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import nn

from nonlocalnet.engine.machine import has_fast_bf16
from nonlocalnet.models.video.folding import fold_batch_norm

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inference:
    """What may be changed about the arithmetic of a test; the defaults change nothing but rounding.

    Args:
        bf16: Convolutions and products in bfloat16; None for where a GPU has that arithmetic. Scores move: `compared`
            videos are scored in float32 too, and the difference is reported.
        channels_last: Weights and features in channels-last memory order.
        fold_bn: BatchNorm folded into the convolutions.
        compile: `torch.compile`, which takes minutes to start and pays on long tests.
        compared: Videos, spread evenly over the list, on which bfloat16 is compared with float32.
    """

    bf16: bool | None = None
    channels_last: bool = True
    fold_bn: bool = False
    compile: bool = False
    compared: int = 16

    def __post_init__(self) -> None:
        if self.compared < 1:
            raise ValueError(f"compared (--compared) must be at least 1, got {self.compared}")

    def on(self, device: torch.device) -> Inference:
        """The same with its precision decided for a device; the log says what is not float32, or slow."""
        bf16 = has_fast_bf16(device) if self.bf16 is None else self.bf16
        if bf16 and self.bf16 is None:
            log.info("scoring in bfloat16, which this GPU is faster at; --no-bf16 for float32")
        # A processor without that arithmetic emulates it, many times slower than float32.
        if bf16 and device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            log.warning("this processor has no bfloat16 arithmetic: --bf16 will be many times slower than float32 here")
        return replace(self, bf16=bf16)


class Scorer(Protocol):
    """A network that gives class probabilities, such as `nonlocalnet.models.VideoResNet`."""

    num_classes: int

    def eval(self) -> Any:
        """Set eval mode."""
        ...

    def to(self, device: torch.device) -> Any:
        """Move to a device."""
        ...

    def scores(self, x: torch.Tensor, *, multi_label: bool = False) -> torch.Tensor:
        """(B, 3, T, H, W) to probabilities (B, classes): a softmax over the classes, or a sigmoid of each."""
        ...


class InferenceModel(nn.Module):
    """A network prepared for scoring; itself a `Scorer`.

    Args:
        model: The network. It is used as it is where BatchNorm is not folded, and moved to channels-last memory order.
        channels_last: Whether its input is put into channels-last memory order.
        bf16: Whether this one runs in bfloat16.
        compiled: Whether it is compiled.
    """

    def __init__(self, model: nn.Module, *, channels_last: bool, bf16: bool, compiled: bool) -> None:
        super().__init__()
        self.model = model
        self.num_classes: int = getattr(model, "num_classes")  # noqa: B009  nn.Module does not declare it
        self.bf16 = bf16
        self.memory_format = torch.channels_last_3d if channels_last else torch.contiguous_format
        scores: Any = model.scores
        self._scores = torch.compile(scores) if compiled else scores

    def scores(self, x: torch.Tensor, *, multi_label: bool = False) -> torch.Tensor:
        """As the network's."""
        x = x.contiguous(memory_format=self.memory_format)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            return self._scores(x, multi_label=multi_label)

    def feature_map(self, x: torch.Tensor) -> torch.Tensor:
        """As the network's, (B, C, T', H', W') float32; never compiled."""
        model: Any = self.model
        x = x.contiguous(memory_format=self.memory_format)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            return model.feature_map(x).float()


def for_inference(model: nn.Module, options: Inference) -> tuple[InferenceModel, InferenceModel | None]:
    """Prepare a network for scoring.

    Args:
        model: A network of this package.
        options: What to change, its precision decided by `Inference.on`.

    Returns:
        The prepared network and, with `options.bf16`, the same in float32 to compare it with, which shares its weights.
    """
    if options.fold_bn:
        model = fold_batch_norm(model)
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last_3d)  # pyright: ignore[reportCallIssue]
    fast = InferenceModel(model, channels_last=options.channels_last, bf16=bool(options.bf16), compiled=options.compile)
    if not options.bf16:
        return fast, None
    return fast, InferenceModel(model, channels_last=options.channels_last, bf16=False, compiled=False)


def views_at_once(device: torch.device) -> int:
    """Views to score together: 10 on a GPU, which one view does not fill; on a CPU 2, since more leave its caches.

    Measured on two cores, NL I3D-50 on 32x256x256: by twos a tenth faster than by tens (docs/benchmarks.md); the number
    for GPUs is a guess.
    """
    return 2 if device.type == "cpu" else 10
