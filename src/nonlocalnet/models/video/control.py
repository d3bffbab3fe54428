"""The control experiment: standard residual blocks where a non-local network has its non-local blocks.

The paper (Section 5.1, "Deeper non-local models") added standard residual blocks to the baseline in place of non-local
ones and saw no gain, so that the gain of non-local blocks does not stem from depth. It does not say where they stood or
which kernels they had; here they stand at the places of the non-local blocks and are the C2D's own bottlenecks, which
start as the identity as fresh non-local blocks do.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from nonlocalnet.insert.children import add_child
from nonlocalnet.models.video.bottleneck import Bottleneck
from nonlocalnet.models.video.norm import norm_maker
from nonlocalnet.models.video.placement import nonlocal_paths
from nonlocalnet.models.video.trunk import VideoTrunk


def add_residual_blocks(model: VideoTrunk, residual_blocks: int | Sequence[str]) -> None:
    """Insert residual blocks into a network without other blocks, in place; its outputs stay as they were at first.

    Args:
        model: The network.
        residual_blocks: 1, 5 or 10 for the places of the paper's non-local blocks, or paths such as ["res4.4"].

    Raises:
        ValueError: If a place is not possible.
    """
    for path in nonlocal_paths(residual_blocks, depth=model.depth):
        stage, _, index = path.partition(".")
        channels = model.stage_channels[stage]
        block = Bottleneck(channels, channels // 4, norm=norm_maker("batch", model.geometry))
        _initialise(block)
        add_child(model.get_submodule(stage), f"{index}_residual", block, beside=index)


def _initialise(block: Bottleneck) -> None:
    # As every residual block of the trunk ([C2]): the last BatchNorm scale 0 makes the block the identity, since what
    # comes in is not negative.
    for module in block.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    assert isinstance(block.norm3, nn.BatchNorm3d)
    nn.init.zeros_(block.norm3.weight)
