"""The detectors by name: what each is made of and what it takes, one row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

from torch import nn
from torchvision.models._api import WeightsEnum
from torchvision.models.detection import KeypointRCNN_ResNet50_FPN_Weights, MaskRCNN_ResNet50_FPN_Weights

from nonlocalnet.block import BlockOptions
from nonlocalnet.models.detection import slim
from nonlocalnet.models.detection.add import DETECTOR_BLOCK
from nonlocalnet.models.detection.names import DetectorName
from nonlocalnet.models.detection.options import (
    DetectorOptions,
    KeypointArguments,
    MaskArguments,
    SlimKeypointArguments,
    SlimMaskArguments,
)
from nonlocalnet.models.detection.trunks import RESNET50, RESNET101, RESNEXT152, SLIM, Trunk


@dataclass(frozen=True, kw_only=True)
class DetectorArchitecture:
    """One detector by name.

    Attributes:
        trunk: Its residual network.
        arguments: The TypedDict of its factory's keyword arguments.
        options: Its defaults.
        block: The defaults of its blocks.
        coco_weights: What torchvision has trained on COCO; None for nothing.
        fpn_channels: Channels of every level of the pyramid.
        heads: Makes arguments of torchvision's class that replace its usual heads; None for the usual ones.
        draw: Draws fresh blocks anew; None for their own initialisation.
    """

    trunk: Trunk
    arguments: type
    options: DetectorOptions
    block: BlockOptions = DETECTOR_BLOCK
    coco_weights: type[WeightsEnum] | None = None
    fpn_channels: int = 256
    heads: Callable[[DetectorOptions], dict[str, Any]] | None = None
    draw: Callable[[nn.Module], None] | None = None

    @property
    def defaults(self) -> dict[str, Any]:
        """Its keyword arguments with their defaults."""
        known = {**vars(self.options), **vars(self.block)}
        return {name: known[name] for name in get_type_hints(self.arguments)}

    @property
    def has_keypoints(self) -> bool:
        """Whether it gives keypoints, and else masks."""
        return "num_keypoints" in self.defaults


# Mask R-CNN draws one of these short sides for every training image; torchvision does so for keypoints alone.
_KEYPOINT_SIZES = (640, 672, 704, 736, 768, 800)
_MASK = DetectorOptions()
_KEYPOINT = DetectorOptions(min_size=_KEYPOINT_SIZES, nonlocal_head=True)
_SLIM_MASK = DetectorOptions(num_classes=3, min_size=96, max_size=320, frozen_bn=False)
_SLIM_KEYPOINT = replace(_SLIM_MASK, num_classes=2, num_keypoints=3, nonlocal_head=True)
_SLIM_BLOCK = DETECTOR_BLOCK.changed(subsample=None)  # the maps are small

ARCHITECTURES: dict[DetectorName, DetectorArchitecture] = {
    "maskrcnn_resnet50_fpn": DetectorArchitecture(
        trunk=RESNET50, arguments=MaskArguments, options=_MASK, coco_weights=MaskRCNN_ResNet50_FPN_Weights
    ),
    "maskrcnn_resnet101_fpn": DetectorArchitecture(trunk=RESNET101, arguments=MaskArguments, options=_MASK),
    "maskrcnn_resnext152_32x8d_fpn": DetectorArchitecture(trunk=RESNEXT152, arguments=MaskArguments, options=_MASK),
    "keypointrcnn_resnet50_fpn": DetectorArchitecture(
        trunk=RESNET50, arguments=KeypointArguments, options=_KEYPOINT, coco_weights=KeypointRCNN_ResNet50_FPN_Weights
    ),
    "keypointrcnn_resnet101_fpn": DetectorArchitecture(trunk=RESNET101, arguments=KeypointArguments, options=_KEYPOINT),
    "maskrcnn_slim_fpn": DetectorArchitecture(
        trunk=SLIM,
        arguments=SlimMaskArguments,
        options=_SLIM_MASK,
        block=_SLIM_BLOCK,
        fpn_channels=slim.CHANNELS,
        heads=slim.mask_heads,
        draw=slim.draw_for_few_channels,
    ),
    "keypointrcnn_slim_fpn": DetectorArchitecture(
        trunk=SLIM,
        arguments=SlimKeypointArguments,
        options=_SLIM_KEYPOINT,
        block=_SLIM_BLOCK,
        fpn_channels=slim.CHANNELS,
        heads=slim.keypoint_heads,
        draw=slim.draw_for_few_channels,
    ),
}
