"""The detectors of Section 6 by name: torchvision's Mask R-CNN and Keypoint R-CNN with the paper's blocks.

    maskrcnn_*       box and mask heads        one block in the backbone (Table 5)
    keypointrcnn_*   box and keypoint heads    four blocks in the keypoint head, one in the backbone (Table 6)

Without blocks they are torchvision's detectors, key for key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torchvision.models._api import WeightsEnum
from torchvision.models.detection import (
    KeypointRCNN,
    KeypointRCNN_ResNet50_FPN_Weights,
    MaskRCNN,
    MaskRCNN_ResNet50_FPN_Weights,
)

from nonlocalnet.block import Norm
from nonlocalnet.functional import Pairwise
from nonlocalnet.models.detection.assemble import BlockOptions, Common, keypoint_rcnn, mask_rcnn
from nonlocalnet.models.detection.trunks import RESNET50, RESNET101, RESNEXT152

MIN_SIZE, MAX_SIZE = 800, 1333


def maskrcnn_resnet50_fpn(
    *,
    weights: MaskRCNN_ResNet50_FPN_Weights | str | None = None,
    weights_backbone: WeightsEnum | str | None = None,
    progress: bool = True,
    num_classes: int | None = None,
    trainable_backbone_layers: int | None = None,
    frozen_bn: bool | None = None,
    min_size: int | Sequence[int] = MIN_SIZE,
    max_size: int = MAX_SIZE,
    box_score_thresh: float = 0.05,
    box_detections_per_img: int = 100,
    nonlocal_backbone: bool = True,
    inner_channels: int | None = None,
    pairwise: Pairwise = "embedded_gaussian",
    scale: float | Literal["rsqrt"] | None = None,
    subsample: int | Sequence[int] | None = 2,
    subsample_first: bool = True,
    norm: Norm | None = None,
    zero_init: bool = True,
) -> MaskRCNN:
    """Mask R-CNN with ResNet-50-FPN, and one non-local block before the last residual block of res4 (Table 5).

    The input is torchvision's: a list of images (3, H, W) in [0, 1] of any sizes, and in training a target for each:
    ``boxes`` (N, 4) as x1, y1, x2, y2 in pixels, ``labels`` (N,) and ``masks`` (N, H, W). It returns a dictionary of
    losses in training, and a list of detections in eval mode.

    Args:
        weights: torchvision's COCO weights of this detector, or their name such as "COCO_V1". The blocks start as the
            identity: until they are trained, the detections are those of the weights.
        weights_backbone: torchvision's ImageNet weights of the trunk, or their name; unused beside weights.
        progress: Show a download.
        num_classes: Classes with the background; None for COCO's original category ids, 91, or those of the weights.
        trainable_backbone_layers: How many of the trunk's five layers, counted from the top, are trained; None: 3
            where weights are given, else 5. The blocks are always trained.
        frozen_bn: BatchNorm of the trunk fixed; None: where weights are given (torchvision's rule).
        min_size: Short side in pixels that images are resized to; of several, one is drawn in training and the last
            is taken in eval mode.
        max_size: Largest long side in pixels.
        box_score_thresh: Lowest score of a detection.
        box_detections_per_img: Most detections of an image.
        nonlocal_backbone: Insert the block.
        inner_channels: See `add_nonlocal`, and so for the options below.
        pairwise: See there.
        scale: See there.
        subsample: See there.
        subsample_first: See there.
        norm: See there.
        zero_init: See there.

    Returns:
        The detector in training mode.

    Raises:
        ValueError: If an argument is out of range, or there are no such weights.
    """
    common = Common(
        trunk=RESNET50,
        weights=weights,
        weights_enum=MaskRCNN_ResNet50_FPN_Weights,
        weights_backbone=weights_backbone,
        progress=progress,
        num_classes=num_classes,
        trainable_backbone_layers=trainable_backbone_layers,
        frozen_bn=frozen_bn,
        min_size=min_size,
        max_size=max_size,
        box_score_thresh=box_score_thresh,
        box_detections_per_img=box_detections_per_img,
    )
    blocks = BlockOptions(
        nonlocal_backbone=nonlocal_backbone,
        nonlocal_head=False,
        inner_channels=inner_channels,
        pairwise=pairwise,
        scale=scale,
        subsample=subsample,
        subsample_first=subsample_first,
        norm=norm,
        zero_init=zero_init,
    )
    return mask_rcnn(common, blocks)


def maskrcnn_resnet101_fpn(
    *,
    weights: WeightsEnum | str | None = None,
    weights_backbone: WeightsEnum | str | None = None,
    progress: bool = True,
    num_classes: int | None = None,
    trainable_backbone_layers: int | None = None,
    frozen_bn: bool | None = None,
    min_size: int | Sequence[int] = MIN_SIZE,
    max_size: int = MAX_SIZE,
    box_score_thresh: float = 0.05,
    box_detections_per_img: int = 100,
    nonlocal_backbone: bool = True,
    inner_channels: int | None = None,
    pairwise: Pairwise = "embedded_gaussian",
    scale: float | Literal["rsqrt"] | None = None,
    subsample: int | Sequence[int] | None = 2,
    subsample_first: bool = True,
    norm: Norm | None = None,
    zero_init: bool = True,
) -> MaskRCNN:
    """Mask R-CNN with ResNet-101-FPN, as `maskrcnn_resnet50_fpn`; torchvision has no COCO weights of it."""
    common = Common(
        trunk=RESNET101,
        weights=weights,
        weights_enum=None,
        weights_backbone=weights_backbone,
        progress=progress,
        num_classes=num_classes,
        trainable_backbone_layers=trainable_backbone_layers,
        frozen_bn=frozen_bn,
        min_size=min_size,
        max_size=max_size,
        box_score_thresh=box_score_thresh,
        box_detections_per_img=box_detections_per_img,
    )
    blocks = BlockOptions(
        nonlocal_backbone=nonlocal_backbone,
        nonlocal_head=False,
        inner_channels=inner_channels,
        pairwise=pairwise,
        scale=scale,
        subsample=subsample,
        subsample_first=subsample_first,
        norm=norm,
        zero_init=zero_init,
    )
    return mask_rcnn(common, blocks)


def maskrcnn_resnext152_32x8d_fpn(
    *,
    weights: WeightsEnum | str | None = None,
    weights_backbone: WeightsEnum | str | None = None,
    progress: bool = True,
    num_classes: int | None = None,
    trainable_backbone_layers: int | None = None,
    frozen_bn: bool | None = None,
    min_size: int | Sequence[int] = MIN_SIZE,
    max_size: int = MAX_SIZE,
    box_score_thresh: float = 0.05,
    box_detections_per_img: int = 100,
    nonlocal_backbone: bool = True,
    inner_channels: int | None = None,
    pairwise: Pairwise = "embedded_gaussian",
    scale: float | Literal["rsqrt"] | None = None,
    subsample: int | Sequence[int] | None = 2,
    subsample_first: bool = True,
    norm: Norm | None = None,
    zero_init: bool = True,
) -> MaskRCNN:
    """Mask R-CNN with ResNeXt-152-32x8d-FPN, the paper's "high baseline" X152, as `maskrcnn_resnet50_fpn`.

    torchvision has neither COCO nor ImageNet weights of it.
    """
    common = Common(
        trunk=RESNEXT152,
        weights=weights,
        weights_enum=None,
        weights_backbone=weights_backbone,
        progress=progress,
        num_classes=num_classes,
        trainable_backbone_layers=trainable_backbone_layers,
        frozen_bn=frozen_bn,
        min_size=min_size,
        max_size=max_size,
        box_score_thresh=box_score_thresh,
        box_detections_per_img=box_detections_per_img,
    )
    blocks = BlockOptions(
        nonlocal_backbone=nonlocal_backbone,
        nonlocal_head=False,
        inner_channels=inner_channels,
        pairwise=pairwise,
        scale=scale,
        subsample=subsample,
        subsample_first=subsample_first,
        norm=norm,
        zero_init=zero_init,
    )
    return mask_rcnn(common, blocks)


def keypointrcnn_resnet50_fpn(
    *,
    weights: KeypointRCNN_ResNet50_FPN_Weights | str | None = None,
    weights_backbone: WeightsEnum | str | None = None,
    progress: bool = True,
    num_classes: int | None = None,
    num_keypoints: int | None = None,
    trainable_backbone_layers: int | None = None,
    frozen_bn: bool | None = None,
    min_size: int | Sequence[int] = (640, 672, 704, 736, 768, 800),
    max_size: int = MAX_SIZE,
    box_score_thresh: float = 0.05,
    box_detections_per_img: int = 100,
    nonlocal_backbone: bool = True,
    nonlocal_head: bool = True,
    inner_channels: int | None = None,
    pairwise: Pairwise = "embedded_gaussian",
    scale: float | Literal["rsqrt"] | None = None,
    subsample: int | Sequence[int] | None = 2,
    subsample_first: bool = True,
    norm: Norm | None = None,
    zero_init: bool = True,
) -> KeypointRCNN:
    """Keypoint R-CNN with ResNet-50-FPN, and non-local blocks in the keypoint head and the backbone (Table 6).

    As `maskrcnn_resnet50_fpn`, but a target has ``keypoints`` (N, K, 3) as x, y, visibility in place of masks.
    ``num_classes`` is 2 by default, person and background, ``num_keypoints`` COCO's 17, and ``nonlocal_head`` inserts a
    block after every second of the keypoint head's 8 convolutions.
    """
    common = Common(
        trunk=RESNET50,
        weights=weights,
        weights_enum=KeypointRCNN_ResNet50_FPN_Weights,
        weights_backbone=weights_backbone,
        progress=progress,
        num_classes=num_classes,
        trainable_backbone_layers=trainable_backbone_layers,
        frozen_bn=frozen_bn,
        min_size=min_size,
        max_size=max_size,
        box_score_thresh=box_score_thresh,
        box_detections_per_img=box_detections_per_img,
    )
    blocks = BlockOptions(
        nonlocal_backbone=nonlocal_backbone,
        nonlocal_head=nonlocal_head,
        inner_channels=inner_channels,
        pairwise=pairwise,
        scale=scale,
        subsample=subsample,
        subsample_first=subsample_first,
        norm=norm,
        zero_init=zero_init,
    )
    return keypoint_rcnn(common, blocks, num_keypoints=num_keypoints)


def keypointrcnn_resnet101_fpn(
    *,
    weights: WeightsEnum | str | None = None,
    weights_backbone: WeightsEnum | str | None = None,
    progress: bool = True,
    num_classes: int | None = None,
    num_keypoints: int | None = None,
    trainable_backbone_layers: int | None = None,
    frozen_bn: bool | None = None,
    min_size: int | Sequence[int] = (640, 672, 704, 736, 768, 800),
    max_size: int = MAX_SIZE,
    box_score_thresh: float = 0.05,
    box_detections_per_img: int = 100,
    nonlocal_backbone: bool = True,
    nonlocal_head: bool = True,
    inner_channels: int | None = None,
    pairwise: Pairwise = "embedded_gaussian",
    scale: float | Literal["rsqrt"] | None = None,
    subsample: int | Sequence[int] | None = 2,
    subsample_first: bool = True,
    norm: Norm | None = None,
    zero_init: bool = True,
) -> KeypointRCNN:
    """Keypoint R-CNN with ResNet-101-FPN (Table 6), as `keypointrcnn_resnet50_fpn`; there are no COCO weights of it."""
    common = Common(
        trunk=RESNET101,
        weights=weights,
        weights_enum=None,
        weights_backbone=weights_backbone,
        progress=progress,
        num_classes=num_classes,
        trainable_backbone_layers=trainable_backbone_layers,
        frozen_bn=frozen_bn,
        min_size=min_size,
        max_size=max_size,
        box_score_thresh=box_score_thresh,
        box_detections_per_img=box_detections_per_img,
    )
    blocks = BlockOptions(
        nonlocal_backbone=nonlocal_backbone,
        nonlocal_head=nonlocal_head,
        inner_channels=inner_channels,
        pairwise=pairwise,
        scale=scale,
        subsample=subsample,
        subsample_first=subsample_first,
        norm=norm,
        zero_init=zero_init,
    )
    return keypoint_rcnn(common, blocks, num_keypoints=num_keypoints)
