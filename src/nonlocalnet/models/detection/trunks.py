"""ResNet-FPN backbones for torchvision's detectors: the trunks of Section 6, and a slim one for small images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torchvision.models import ResNet50_Weights, ResNet101_Weights
from torchvision.models._api import WeightsEnum
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops import FrozenBatchNorm2d

# From the last layer to the first, as torchvision counts `trainable_backbone_layers`.
_FROM_THE_TOP = ("layer4", "layer3", "layer2", "layer1", "conv1")


@dataclass(frozen=True)
class Trunk:
    """A residual network, as torchvision's `ResNet` takes it.

    Attributes:
        name: For messages.
        block: `Bottleneck` or `BasicBlock`.
        layers: Residual blocks in layer1 (res2) to layer4 (res5).
        groups: Groups of the 3x3 convolutions.
        width_per_group: Channels of each group in layer1.
        narrow: Divides the channels of layer1 to layer4.
        weights: ImageNet weights that torchvision has for it; None for none.
    """

    name: str
    block: type[BasicBlock | Bottleneck]
    layers: tuple[int, int, int, int]
    groups: int = 1
    width_per_group: int = 64
    narrow: int = 1
    weights: type[WeightsEnum] | None = None


RESNET50 = Trunk("ResNet-50", Bottleneck, (3, 4, 6, 3), weights=ResNet50_Weights)
RESNET101 = Trunk("ResNet-101", Bottleneck, (3, 4, 23, 3), weights=ResNet101_Weights)
RESNEXT152 = Trunk("ResNeXt-152 32x8d", Bottleneck, (3, 8, 36, 3), groups=32, width_per_group=8)
SLIM = Trunk("slim ResNet", BasicBlock, (1, 1, 2, 1), narrow=2)


def build_backbone(
    trunk: Trunk,
    *,
    weights: WeightsEnum | str | None,
    progress: bool,
    frozen_bn: bool,
    trainable_layers: int,
    fpn_channels: int,
) -> BackboneWithFPN:
    """The trunk with a feature pyramid on top, as torchvision's own detectors have it.

    Args:
        trunk: The network.
        weights: ImageNet weights of torchvision, or their name; None for random ones.
        progress: Show the download.
        frozen_bn: `FrozenBatchNorm2d` in the trunk rather than `BatchNorm2d`.
        trainable_layers: How many of the five layers, from layer4 down to conv1, have gradients.
        fpn_channels: Channels of every level.

    Raises:
        ValueError: If the trunk has no such weights, or `trainable_layers` is not in [0, 5].
    """
    if not 0 <= trainable_layers <= 5:
        raise ValueError(f"trainable_backbone_layers must be in [0, 5], got {trainable_layers}")
    norm_layer: Callable[..., nn.Module] = FrozenBatchNorm2d if frozen_bn else nn.BatchNorm2d
    resnet = _NarrowResNet(trunk, norm_layer=norm_layer)
    checked = _checked_weights(trunk, weights)
    if checked is not None:
        resnet.load_state_dict(fetched(checked, progress=progress))
    trained = (*_FROM_THE_TOP[:trainable_layers], *(("bn1",) if trainable_layers == 5 else ()))
    for name, parameter in resnet.named_parameters():
        parameter.requires_grad_(name.startswith(trained))
    width = 64 // trunk.narrow * trunk.block.expansion
    return BackboneWithFPN(
        resnet,
        return_layers={f"layer{i + 1}": str(i) for i in range(4)},
        in_channels_list=[width * 2**i for i in range(4)],
        out_channels=fpn_channels,
    )


class _NarrowResNet(ResNet):
    """torchvision's ResNet with fewer channels above its stem, which its constructor does not offer."""

    def __init__(self, trunk: Trunk, *, norm_layer: Callable[..., nn.Module]) -> None:
        self._narrow = trunk.narrow
        super().__init__(
            trunk.block,
            list(trunk.layers),
            groups=trunk.groups,
            width_per_group=trunk.width_per_group,
            norm_layer=norm_layer,
        )

    def _make_layer(self, block: Any, planes: int, blocks: int, stride: int = 1, dilate: bool = False) -> nn.Sequential:
        return super()._make_layer(block, planes // self._narrow, blocks, stride=stride, dilate=dilate)


def fetched(weights: WeightsEnum, *, progress: bool) -> Mapping[str, Any]:
    """The tensors of torchvision's weights, downloaded if need be.

    Raises:
        ValueError: They cannot be had; names the address and what to do.
    """
    try:
        return weights.get_state_dict(progress=progress, check_hash=True)
    except (OSError, RuntimeError) as error:  # of the network, or of a file that is not what was published
        raise ValueError(
            f"torchvision's weights {weights} could not be fetched from {weights.url}: {error}; start from a file of "
            "them that you have, with --init FILE"
        ) from error


def _checked_weights(trunk: Trunk, weights: WeightsEnum | str | None) -> WeightsEnum | None:
    if weights is None:
        return None
    if trunk.weights is None:
        raise ValueError(
            f"torchvision has no ImageNet weights of {trunk.name}: give weights_backbone=None, and load a state dict "
            "of your own into backbone.body"
        )
    return trunk.weights.verify(weights)
