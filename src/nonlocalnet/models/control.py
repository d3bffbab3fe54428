"""The control experiment: standard residual blocks where a non-local network has its non-local blocks.

The paper (Section 5.1, "Deeper non-local models") added standard residual blocks to the baseline in place of non-local
ones and saw no gain, so that the gain of non-local blocks does not stem from depth. It does not say where they stood or
which kernels they had; here they stand at the places of the non-local blocks and are the C2D's own bottlenecks, which
start as the identity as fresh non-local blocks do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from nonlocalnet.models.bottleneck import Bottleneck
from nonlocalnet.models.geometry import Clip, Variant
from nonlocalnet.models.placement import nonlocal_paths
from nonlocalnet.models.video import VideoResNet


def c2d_resnet50_control(
    *,
    num_classes: int = 400,
    residual_blocks: int | Sequence[str] = 5,
    clip: Clip = "32x2",
    variant: Variant = "release",
    width: int = 64,
    dropout: float = 0.5,
    crop: int = 224,
) -> VideoResNet:
    """C2D ResNet-50 with standard residual blocks where `c2d_resnet50` has non-local ones.

    Args:
        num_classes: As for `c2d_resnet50`.
        residual_blocks: Places of the added blocks, as `nonlocal_blocks` of `c2d_resnet50`.
        clip: As for `c2d_resnet50`.
        variant: As for `c2d_resnet50`.
        width: As for `c2d_resnet50`.
        dropout: As for `c2d_resnet50`.
        crop: As for `c2d_resnet50`.

    Returns:
        The network in training mode; an added block's name is that of the block before it and "_residual".
    """
    trunk = VideoResNet(
        depth=50, num_classes=num_classes, clip=clip, variant=variant, width=width, dropout=dropout, crop=crop
    )
    return add_residual_blocks(trunk, residual_blocks)


def c2d_resnet101_control(
    *,
    num_classes: int = 400,
    residual_blocks: int | Sequence[str] = 5,
    clip: Clip = "32x2",
    variant: Variant = "release",
    width: int = 64,
    dropout: float = 0.5,
    crop: int = 224,
) -> VideoResNet:
    """C2D ResNet-101 with standard residual blocks, as `c2d_resnet50_control`; the arguments are the same."""
    trunk = VideoResNet(
        depth=101, num_classes=num_classes, clip=clip, variant=variant, width=width, dropout=dropout, crop=crop
    )
    return add_residual_blocks(trunk, residual_blocks)


def add_residual_blocks(model: VideoResNet, residual_blocks: int | Sequence[str]) -> VideoResNet:
    """Insert residual blocks into a network without other blocks, in place; its outputs stay as they were at first.

    Args:
        model: The network.
        residual_blocks: 1, 5 or 10 for the places of the paper's non-local blocks, or paths such as ["res4.4"].

    Returns:
        The same network.

    Raises:
        ValueError: If a place is not possible.
    """
    for path in nonlocal_paths(residual_blocks, depth=model.depth):
        stage, _, index = path.partition(".")
        parent = model.get_submodule(stage)
        assert isinstance(parent, nn.Sequential)
        channels = model.stage_channels[stage]
        block = Bottleneck(
            channels,
            channels // 4,
            norm_eps=model.geometry.norm_eps,
            norm_momentum=model.geometry.norm_momentum,
        )
        _initialise(block)
        _insert_after(parent, index, name=f"{index}_residual", block=block)
    return model


def _insert_after(parent: nn.Sequential, after: str, *, name: str, block: nn.Module) -> None:
    children: OrderedDict[str, nn.Module] = OrderedDict()
    for child_name, child in parent.named_children():
        children[child_name] = child
        if child_name == after:
            children[name] = block
    parent._modules.clear()
    parent._modules.update(children)


def _initialise(block: Bottleneck) -> None:
    # As every residual block of the trunk ([C2]): the last BatchNorm scale 0 makes the block the identity, since what
    # comes in is not negative.
    for module in block.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(block.norm3.weight)
