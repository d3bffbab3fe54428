"""From a row of the table to a whole detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torchvision.models._api import WeightsEnum
from torchvision.models.detection import (
    KeypointRCNN,
    KeypointRCNN_ResNet50_FPN_Weights,
    MaskRCNN,
    MaskRCNN_ResNet50_FPN_Weights,
)
from torchvision.ops import FrozenBatchNorm2d

from nonlocalnet.block import BlockOptions
from nonlocalnet.block.options import checked_block
from nonlocalnet.models.architecture import named_row
from nonlocalnet.models.detection.add import put_detector_blocks
from nonlocalnet.models.detection.architectures import ARCHITECTURES, DetectorArchitecture
from nonlocalnet.models.detection.options import DetectorOptions
from nonlocalnet.models.detection.trunks import build_backbone, fetched

# These were trained with an eps of 0 in the frozen BatchNorms, and torchvision sets it so; others keep 1e-5.
_TRAINED_WITHOUT_EPS = (MaskRCNN_ResNet50_FPN_Weights.COCO_V1, KeypointRCNN_ResNet50_FPN_Weights.COCO_V1)
# Arguments of torchvision's classes that go on as they are.
_PASSED_ON = ("min_size", "max_size", "box_score_thresh", "box_detections_per_img")


def build(name: str, arguments: Mapping[str, Any], *, block: BlockOptions | None = None) -> MaskRCNN | KeypointRCNN:
    """Build a detector by name.

    Args:
        name: One of `ARCHITECTURES`.
        arguments: Keyword arguments of its factory; its defaults stand for the rest.
        block: The block options, all in one, of which those among the arguments replace some; None for the defaults.

    Returns:
        The detector in training mode.

    Raises:
        ValueError: If there is no such detector, an argument is out of range, or there are no such weights.
        TypeError: If there is no such argument; named.
    """
    row = named_row(ARCHITECTURES, name, arguments)
    of_blocks = {option: value for option, value in arguments.items() if option in vars(row.block)}
    blocks = (checked_block(block, BlockOptions) or row.block).changed(**of_blocks)
    own = {option: value for option, value in arguments.items() if option not in of_blocks}
    options = DetectorOptions(**{**vars(row.options), **own})
    detector = _assembled(row, options)
    if options.nonlocal_backbone or options.nonlocal_head:
        put_detector_blocks(
            detector,
            nonlocal_backbone=options.nonlocal_backbone,
            nonlocal_head=options.nonlocal_head,
            block=blocks,
        )
    if row.draw is not None:
        row.draw(detector)
    return detector


def _assembled(row: DetectorArchitecture, options: DetectorOptions) -> MaskRCNN | KeypointRCNN:
    """The detector without blocks, with its weights: in this order neither knows of the other."""
    own: dict[str, Any] = {} if row.heads is None else row.heads(options)
    weights = _checked_weights(row, options)
    if row.has_keypoints and "keypoint_predictor" not in own:
        own["num_keypoints"] = _num_keypoints(options.num_keypoints, weights)
    default_classes = 2 if row.has_keypoints else 91
    detector = (KeypointRCNN if row.has_keypoints else MaskRCNN)(
        _backbone(row, options, pretrained=weights is not None),
        num_classes=None if "box_predictor" in own else _num_classes(options, weights, default=default_classes),
        **{name: getattr(options, name) for name in _PASSED_ON},
        **own,
    )
    if weights is not None:
        detector.load_state_dict(fetched(weights, progress=options.progress))
        if weights in _TRAINED_WITHOUT_EPS:
            set_frozen_bn_eps(detector, 0.0)
    return detector


def _checked_weights(row: DetectorArchitecture, options: DetectorOptions) -> WeightsEnum | None:
    """The COCO weights that `weights` names.

    Raises:
        ValueError: If torchvision has none of this detector, or none of that name.
    """
    if options.weights is None:
        return None
    if row.coco_weights is None:
        raise ValueError(
            f"torchvision has no COCO weights of a detector on {row.trunk.name}: give weights=None, and load a state "
            "dict of your own"
        )
    try:
        return row.coco_weights.verify(options.weights)
    except (KeyError, TypeError) as error:
        names = ", ".join(member.name for member in row.coco_weights)
        raise ValueError(f"weights must be one of {names}, got {options.weights!r}") from error


def _backbone(row: DetectorArchitecture, options: DetectorOptions, *, pretrained: bool) -> nn.Module:
    """The trunk with its pyramid; `pretrained` says that weights of the whole detector follow."""
    weights = None if pretrained else options.weights_backbone
    trained = pretrained or weights is not None
    layers = options.trainable_backbone_layers
    return build_backbone(
        row.trunk,
        weights=weights,
        progress=options.progress,
        frozen_bn=trained if options.frozen_bn is None else options.frozen_bn,
        trainable_layers=(3 if trained else 5) if layers is None else layers,
        fpn_channels=row.fpn_channels,
    )


def _num_classes(options: DetectorOptions, weights: WeightsEnum | None, *, default: int) -> int:
    given = options.num_classes
    if weights is None:
        return default if given is None else given
    of_weights = len(weights.meta["categories"])
    if given not in (None, of_weights):
        raise ValueError(f"num_classes is {given}, but {weights} has {of_weights} classes: leave it out")
    return of_weights


def _num_keypoints(num_keypoints: int | None, weights: WeightsEnum | None) -> int:
    of_weights = 17 if weights is None else len(weights.meta["keypoint_names"])
    if weights is not None and num_keypoints not in (None, of_weights):
        raise ValueError(f"num_keypoints is {num_keypoints}, but {weights} has {of_weights}: leave it out")
    return of_weights if num_keypoints is None else num_keypoints


def set_frozen_bn_eps(model: nn.Module, eps: float) -> None:
    """Set the eps of every `FrozenBatchNorm2d`; 0 is right for torchvision's COCO_V1 weights and no others."""
    for module in model.modules():
        if isinstance(module, FrozenBatchNorm2d):
            module.eps = eps
