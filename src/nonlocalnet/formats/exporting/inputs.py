"""Which inputs an exported network takes: what of (B, 3, T, H, W) is open, from which size on, and what is tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.export import Dim

from nonlocalnet.block import NonLocalBlock
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.card import VideoCard
from nonlocalnet.models.video.geometry import Size, input_leaving

NAMES = {0: "batch", 2: "frames", 3: "height", 4: "width"}


@dataclass(frozen=True)
class Inputs:
    """What goes in.

    Attributes:
        fixed: The size of each axis of (batch, frames, height, width) that has but one, by its place in x.
        least: The smallest size of each open axis.
        usual: (frames, height, width) of the card's clips.
    """

    fixed: dict[int, int]
    least: dict[int, int]
    usual: Size

    def example(self) -> torch.Tensor:
        """What the exporter traces with; sizes of 1 are taken as fixed, so an open batch has 2."""
        return torch.zeros(self._shape(lambda axis: self.least[axis] + (axis == 0)))

    def dynamic_shapes(self) -> dict[int, Any]:
        """The open axes for `torch.export`."""
        return {axis: Dim(NAMES[axis], min=least) for axis, least in self.least.items()}

    def tried(self) -> list[torch.Tensor]:
        """Two inputs of random numbers: of the usual size, and of others where they are open."""
        usual = {0: 1, 2: self.usual[0], 3: self.usual[1], 4: self.usual[2]}
        shapes = (
            self._shape(lambda axis: max(usual[axis], self.least[axis])),
            self._shape(lambda axis: 3 if axis == 0 else self.least[axis] + axis),
        )
        generator = torch.Generator().manual_seed(0)
        return [torch.randn(shape, generator=generator) for shape in shapes]

    def describe(self) -> str:
        """In words, such as "(batch, 3, 8, height >= 53, width >= 53)"."""

        def one(axis: int) -> str:
            if axis in self.fixed:
                return str(self.fixed[axis])
            return NAMES[axis] + (f" >= {self.least[axis]}" if axis else "")

        return f"({one(0)}, 3, {one(2)}, {one(3)}, {one(4)})"

    def _shape(self, open_size: Any) -> tuple[int, ...]:
        batch, *size = (self.fixed[axis] if axis in self.fixed else open_size(axis) for axis in NAMES)
        return (batch, 3, *size)


def inputs_of(
    model: VideoResNet, card: VideoCard, *, size: Size | None, batch: int | None, sizes_open: bool = True
) -> Inputs:
    """The inputs of a network.

    Frames stay at the card's where its clips are so short, or its blocks work in groups of frames.

    Args:
        model: The network.
        card: What is known of it.
        size: The only (frames, height, width); None for any.
        batch: The only batch size; None for any.
        sizes_open: Whether any size is possible at all.

    Raises:
        ValueError: If the size is too small for the network's strides, or the batch empty.
    """
    usual = (card.preprocessing.clip_frames, card.preprocessing.crop, card.preprocessing.crop)
    if batch is not None and batch < 1:
        raise ValueError(f"batch (--batch) must be at least 1, got {batch}")
    chosen = size or usual
    if any(got < least for got, least in zip(chosen, model.min_input_size, strict=True)):
        shown, least = ("x".join(map(str, one)) for one in (chosen, model.min_input_size))
        raise ValueError(f"the input (--input) must be at least {least} for this network's strides, got {shown}")
    fixed = {} if batch is None else {0: batch}
    least = {} if batch is not None else {0: 1}
    smallest = _smallest(model)
    for axis, fewest, own in zip((2, 3, 4), smallest, chosen, strict=True):
        frames_stay = axis == 2 and (own < fewest or _has_groups(model))
        if size is not None or not sizes_open or frames_stay:
            fixed[axis] = own
        else:
            least[axis] = fewest
    return Inputs(fixed, least, chosen)


def _smallest(model: VideoResNet) -> Size:
    """From which size on one program fits all: the exporter takes a map or pool of one position as another case."""
    needed: dict[str, Size] = {"res5": (2, 2, 2)}
    for name, block in model.named_modules():
        if isinstance(block, NonLocalBlock):
            stage = name.partition(".")[0]
            pooled = (2 * kernel for kernel in block.pool_kernel)
            frames, rows, columns = map(max, zip(needed.get(stage, (2, 2, 2)), pooled, strict=True))
            needed[stage] = (frames, rows, columns)
    return input_leaving(model.geometry, needed)


def _has_groups(model: VideoResNet) -> bool:
    return any(isinstance(m, NonLocalBlock) and m.temporal_group_frames is not None for m in model.modules())
