"""The paper's control: ordinary residual blocks with as many parameters in place of the non-local ones."""

from __future__ import annotations

import math
from typing import TypeVar

from torch import Tensor, nn

from nonlocalnet.block import BlockOptions, NonLocalBlock, Norm
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.insert.children import add_child
from nonlocalnet.insert.insert import put_blocks
from nonlocalnet.models.detection.add import backbone_places, head_places

_Detector = TypeVar("_Detector", bound=nn.Module)


class LocalBlock(nn.Module):
    """x + 1x1(ReLU(3x3(ReLU(1x1(x))))), the identity when fresh: what a non-local block is, but local.

    Args:
        channels: C of the input and the output.
        parameters: The block has at least so many, and as few above as its width allows.
        zero_init: Start as the identity.
    """

    def __init__(self, channels: int, *, parameters: int, zero_init: bool = True) -> None:
        super().__init__()
        # 9 w^2 + (2 C + 2) w + C parameters for a width of w, biases included.
        linear = 2 * channels + 2
        width = math.ceil((math.sqrt(linear**2 + 36 * max(0, parameters - channels)) - linear) / 18)
        width = max(1, width)
        self.reduce = nn.Conv2d(channels, width, 1)
        self.spatial = nn.Conv2d(width, width, 3, padding=1)
        self.expand = nn.Conv2d(width, channels, 1)
        for convolution in (self.reduce, self.spatial, self.expand):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # pyright: ignore[reportArgumentType]
        if zero_init:
            nn.init.zeros_(self.expand.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape; every output sees its 3 x 3 neighbours."""
        return x + self.expand(self.spatial(self.reduce(x).relu()).relu())


def add_local_control(
    detector: _Detector,
    *,
    nonlocal_backbone: bool = True,
    nonlocal_head: bool = False,
    norm: Norm | None = None,
    zero_init: bool = True,
) -> _Detector:
    """Adds a `LocalBlock` wherever `add_nonlocal` would add a block, with at least as many parameters, in place.

    "Going deeper" is then no explanation of what a non-local block gains (Section 5.1 of the paper).

    Args:
        detector: As `add_nonlocal` takes it.
        nonlocal_backbone: Add one in the backbone.
        nonlocal_head: Add them in the keypoint head.
        norm: The norm of the blocks whose parameters are matched.
        zero_init: Start every block as the identity.

    Returns:
        The same detector.

    Raises:
        ValueError: As `add_nonlocal`.
    """
    put_blocks(
        detector,
        before=backbone_places(detector) if nonlocal_backbone else None,
        after=head_places(detector) if nonlocal_head else None,
        block=BlockOptions(norm=norm),
    )
    for path, block in nonlocal_blocks(detector).items():
        parent_path, _, name = path.rpartition(".")
        parent = detector.get_submodule(parent_path)
        local = _as_local(block, zero_init=zero_init)
        add_child(parent, name.replace("nonlocal", "local"), local, beside=name)
        delattr(parent, name)
    return detector


def _as_local(block: NonLocalBlock, *, zero_init: bool) -> LocalBlock:
    parameters = sum(parameter.numel() for parameter in block.parameters())
    return LocalBlock(block.channels, parameters=parameters, zero_init=zero_init).to(block.g.weight.device)
