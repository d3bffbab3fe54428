"""The video networks by name: what each is made of and what it takes, one row each.

Every argument of a row has its default here; `c2d_resnet50` of `nonlocalnet.models` says what each means.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_type_hints

from nonlocalnet.models.video.blocks import VideoBlockArguments, VideoBlockOptions
from nonlocalnet.models.video.geometry import Clip, Depth, Inflate, Inflated, TrunkNorm, Variant
from nonlocalnet.models.video.trunk import VideoTrunk

ArchitectureName = Literal[
    "c2d_resnet50",
    "c2d_resnet101",
    "i3d_resnet50",
    "i3d_resnet101",
    "c2d_resnet50_control",
    "c2d_resnet101_control",
]


class TrunkArguments(TypedDict, total=False):
    """What every network takes."""

    num_classes: int
    clip: Clip
    variant: Variant
    width: int
    dropout: float
    crop: int | None


class C2DArguments(TrunkArguments, VideoBlockArguments, total=False):
    """What a C2D takes."""

    nonlocal_blocks: int | Sequence[str]
    trunk_norm: TrunkNorm


class I3DArguments(C2DArguments, total=False):
    """What an I3D takes."""

    inflate: Inflate
    inflated: Inflated


class ControlArguments(TrunkArguments, total=False):
    """What a C2D with standard residual blocks takes."""

    residual_blocks: int | Sequence[str]


@dataclass(frozen=True)
class Architecture:
    """One network by name.

    Attributes:
        depth: 50 or 101.
        inflate: Which kernel of a residual block spans time unless `inflate` says another; None for a C2D.
        control: Whether it has standard residual blocks where the others have non-local ones.
    """

    depth: Depth
    inflate: Inflate | None = None
    control: bool = False

    @property
    def is_i3d(self) -> bool:
        """Whether it has kernels that are inflated in time."""
        return self.inflate is not None

    @property
    def arguments(self) -> type:
        """The TypedDict of its keyword arguments."""
        return ControlArguments if self.control else I3DArguments if self.is_i3d else C2DArguments

    @property
    def defaults(self) -> dict[str, Any]:
        """Its keyword arguments with their defaults: the trunk's, the blocks', and how many blocks there are."""
        trunk = {name: parameter.default for name, parameter in inspect.signature(VideoTrunk).parameters.items()}
        own = {"nonlocal_blocks": 0, "residual_blocks": 5, "inflate": self.inflate}
        known = {**trunk, **vars(VideoBlockOptions()), **own}
        return {name: known[name] for name in get_type_hints(self.arguments)}


ARCHITECTURES: dict[ArchitectureName, Architecture] = {
    "c2d_resnet50": Architecture(50),
    "c2d_resnet101": Architecture(101),
    "i3d_resnet50": Architecture(50, inflate="3x1x1"),
    "i3d_resnet101": Architecture(101, inflate="3x1x1"),
    "c2d_resnet50_control": Architecture(50, control=True),
    "c2d_resnet101_control": Architecture(101, control=True),
}


def name_of(*, depth: Depth, inflated: bool) -> ArchitectureName:
    """The C2D or I3D of a depth, such as "i3d_resnet50"."""
    rows = ARCHITECTURES.items()
    return next(name for name, row in rows if row.depth == depth and row.is_i3d == inflated and not row.control)
