"""From a trunk to a whole detector: what the factories share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from torch import nn
from torchvision.models._api import WeightsEnum
from torchvision.models.detection import (
    KeypointRCNN,
    KeypointRCNN_ResNet50_FPN_Weights,
    MaskRCNN,
    MaskRCNN_ResNet50_FPN_Weights,
)
from torchvision.ops import FrozenBatchNorm2d

from nonlocalnet.block import Norm
from nonlocalnet.functional import Pairwise
from nonlocalnet.models.detection.add import add_nonlocal
from nonlocalnet.models.detection.trunks import Trunk, build_backbone

# These were trained with an eps of 0 in the frozen BatchNorms, and torchvision sets it so; others keep 1e-5.
_TRAINED_WITHOUT_EPS = (MaskRCNN_ResNet50_FPN_Weights.COCO_V1, KeypointRCNN_ResNet50_FPN_Weights.COCO_V1)
_Detector = TypeVar("_Detector", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every detector is built from; the factories say what each means."""

    trunk: Trunk
    weights: WeightsEnum | str | None
    weights_enum: type[WeightsEnum] | None
    weights_backbone: WeightsEnum | str | None
    progress: bool
    num_classes: int | None
    trainable_backbone_layers: int | None
    frozen_bn: bool | None
    min_size: int | Sequence[int]
    max_size: int
    box_score_thresh: float
    box_detections_per_img: int
    fpn_channels: int = 256

    def __post_init__(self) -> None:
        sizes = (self.min_size,) if isinstance(self.min_size, int) else tuple(self.min_size)
        if not sizes or min(sizes) < 1 or max(sizes) > self.max_size:
            raise ValueError(f"min_size must be from 1 to max_size = {self.max_size}, got {self.min_size}")
        if self.num_classes is not None and self.num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, the background and one class, got {self.num_classes}")


@dataclass(frozen=True, kw_only=True)
class BlockOptions:
    """Where the blocks go and how they are made; see `add_nonlocal`."""

    nonlocal_backbone: bool
    nonlocal_head: bool
    inner_channels: int | None
    pairwise: Pairwise
    scale: float | Literal["rsqrt"] | None
    subsample: int | Sequence[int] | None
    subsample_first: bool
    norm: Norm | None
    zero_init: bool


def mask_rcnn(common: Common, blocks: BlockOptions, **heads: Any) -> MaskRCNN:
    """Mask R-CNN on the trunk; `heads` are arguments of torchvision's class that replace its usual heads."""
    weights = checked_weights(common)
    detector = MaskRCNN(
        _backbone(common, weights=weights),
        num_classes=None if "box_predictor" in heads else _num_classes(common, weights, default=91),
        **_transform_and_boxes(common),
        **heads,
    )
    return _finish(detector, weights, blocks, progress=common.progress)


def keypoint_rcnn(common: Common, blocks: BlockOptions, *, num_keypoints: int | None, **heads: Any) -> KeypointRCNN:
    """Keypoint R-CNN on the trunk; `heads` as in `mask_rcnn`."""
    weights = checked_weights(common)
    if "keypoint_predictor" not in heads:
        heads = {**heads, "num_keypoints": _num_keypoints(num_keypoints, weights)}
    detector = KeypointRCNN(
        _backbone(common, weights=weights),
        num_classes=None if "box_predictor" in heads else _num_classes(common, weights, default=2),
        **_transform_and_boxes(common),
        **heads,
    )
    return _finish(detector, weights, blocks, progress=common.progress)


def checked_weights(common: Common) -> WeightsEnum | None:
    """The COCO weights that `common.weights` names.

    Raises:
        ValueError: If torchvision has none of this detector, or none of that name.
    """
    if common.weights is None:
        return None
    if common.weights_enum is None:
        raise ValueError(
            f"torchvision has no COCO weights of a detector on {common.trunk.name}: give weights=None, and load a "
            "state dict of your own"
        )
    try:
        return common.weights_enum.verify(common.weights)
    except (KeyError, TypeError) as error:
        names = ", ".join(member.name for member in common.weights_enum)
        raise ValueError(f"weights must be one of {names}, got {common.weights!r}") from error


def _backbone(common: Common, *, weights: WeightsEnum | None) -> nn.Module:
    pretrained = weights is not None or common.weights_backbone is not None
    trainable = common.trainable_backbone_layers
    return build_backbone(
        common.trunk,
        weights=None if weights is not None else common.weights_backbone,
        progress=common.progress,
        frozen_bn=pretrained if common.frozen_bn is None else common.frozen_bn,
        trainable_layers=(3 if pretrained else 5) if trainable is None else trainable,
        fpn_channels=common.fpn_channels,
    )


def _transform_and_boxes(common: Common) -> dict[str, Any]:
    names = ("min_size", "max_size", "box_score_thresh", "box_detections_per_img")
    return {name: getattr(common, name) for name in names}


def _num_classes(common: Common, weights: WeightsEnum | None, *, default: int) -> int:
    if weights is None:
        return default if common.num_classes is None else common.num_classes
    of_weights = len(weights.meta["categories"])
    if common.num_classes not in (None, of_weights):
        raise ValueError(f"num_classes is {common.num_classes}, but {weights} has {of_weights} classes: leave it out")
    return of_weights


def _num_keypoints(num_keypoints: int | None, weights: WeightsEnum | None) -> int:
    of_weights = 17 if weights is None else len(weights.meta["keypoint_names"])
    if weights is not None and num_keypoints not in (None, of_weights):
        raise ValueError(f"num_keypoints is {num_keypoints}, but {weights} has {of_weights}: leave it out")
    return of_weights if num_keypoints is None else num_keypoints


def _finish(detector: _Detector, weights: WeightsEnum | None, blocks: BlockOptions, *, progress: bool) -> _Detector:
    """Load the weights, then insert the blocks: in this order neither knows of the other."""
    if weights is not None:
        detector.load_state_dict(weights.get_state_dict(progress=progress, check_hash=True))
        if weights in _TRAINED_WITHOUT_EPS:
            set_frozen_bn_eps(detector, 0.0)
    if not (blocks.nonlocal_backbone or blocks.nonlocal_head):
        return detector
    return add_nonlocal(
        detector,
        nonlocal_backbone=blocks.nonlocal_backbone,
        nonlocal_head=blocks.nonlocal_head,
        inner_channels=blocks.inner_channels,
        pairwise=blocks.pairwise,
        scale=blocks.scale,
        subsample=blocks.subsample,
        subsample_first=blocks.subsample_first,
        norm=blocks.norm,
        zero_init=blocks.zero_init,
    )


def set_frozen_bn_eps(model: nn.Module, eps: float) -> None:
    """Set the eps of every `FrozenBatchNorm2d`; 0 is right for torchvision's COCO_V1 weights and no others."""
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = eps
