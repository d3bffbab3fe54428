"""A small 3-D network with a block in each of the two ways: a sibling in a Sequential, and hooks."""

from typing import Any

import torch
from torch import Tensor, nn

from nonlocalnet.insert import insert_nonlocal, nonlocal_blocks

AFTER, BEFORE = ["body.2", "middle"], ["last"]
BLOCKS = ["body.2_nonlocal", "middle.nonlocal_after", "last.nonlocal_before"]


class SmallNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv3d(4, 6, 3, padding=1))
        self.middle = nn.Conv3d(6, 4, 1)
        self.last = nn.Conv3d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.body(x)).relu())


def small_net(**options: Any) -> SmallNet:
    """A SmallNet with three blocks that have learnt something, in eval mode."""
    return trained(insert_nonlocal(SmallNet(), after=AFTER, before=BEFORE, **options))


def trained(model: Any) -> Any:
    """The model with random parameters in its blocks, so that they are not the identity; in eval mode."""
    for block in nonlocal_blocks(model).values():
        for parameter in block.parameters():
            nn.init.normal_(parameter, std=0.4)
        if block.norm is not None:
            nn.init.normal_(block.norm.running_mean)
    return model.eval()


def clip(batch: int = 2, frames: int = 4, height: int = 5, width: int = 6) -> Tensor:
    return torch.randn(batch, 3, frames, height, width)
