"""The detectors of Section 6 by name: torchvision's Mask R-CNN and Keypoint R-CNN with the paper's blocks.

    maskrcnn_*       box and mask heads        one block in the backbone (Table 5)
    keypointrcnn_*   box and keypoint heads    four blocks in the keypoint head, one in the backbone (Table 6)

Without blocks they are torchvision's detectors, key for key.
"""

from __future__ import annotations

from typing import cast

from torchvision.models.detection import KeypointRCNN, MaskRCNN
from typing_extensions import Unpack

from nonlocalnet.block import BlockOptions
from nonlocalnet.models.detection.architectures import ARCHITECTURES
from nonlocalnet.models.detection.assemble import build
from nonlocalnet.models.detection.options import (
    KeypointArguments,
    MaskArguments,
    SlimKeypointArguments,
    SlimMaskArguments,
)
from nonlocalnet.system.signatures import shows


@shows(MaskArguments, ARCHITECTURES["maskrcnn_resnet50_fpn"].defaults)
def maskrcnn_resnet50_fpn(*, block: BlockOptions | None = None, **options: Unpack[MaskArguments]) -> MaskRCNN:
    """Mask R-CNN with ResNet-50-FPN, and one non-local block before the last residual block of res4 (Table 5).

    The input is torchvision's: a list of images (3, H, W) in [0, 1] of any sizes, and in training a target for each:
    ``boxes`` (N, 4) as x1, y1, x2, y2 in pixels, ``labels`` (N,) and ``masks`` (N, H, W). It returns a dictionary of
    losses in training, and a list of detections in eval mode.

    Args:
        block: The block options, all in one; None for the defaults of `add_nonlocal`. They may be given by name, too.
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

    Returns:
        The detector in training mode.

    Raises:
        ValueError: If an argument is out of range, or there are no such weights.
    """
    return cast(MaskRCNN, build("maskrcnn_resnet50_fpn", options, block=block))


@shows(MaskArguments, ARCHITECTURES["maskrcnn_resnet101_fpn"].defaults)
def maskrcnn_resnet101_fpn(*, block: BlockOptions | None = None, **options: Unpack[MaskArguments]) -> MaskRCNN:
    """Mask R-CNN with ResNet-101-FPN, as `maskrcnn_resnet50_fpn`; torchvision has no COCO weights of it."""
    return cast(MaskRCNN, build("maskrcnn_resnet101_fpn", options, block=block))


@shows(MaskArguments, ARCHITECTURES["maskrcnn_resnext152_32x8d_fpn"].defaults)
def maskrcnn_resnext152_32x8d_fpn(*, block: BlockOptions | None = None, **options: Unpack[MaskArguments]) -> MaskRCNN:
    """Mask R-CNN with ResNeXt-152-32x8d-FPN, the paper's "high baseline" X152, as `maskrcnn_resnet50_fpn`.

    torchvision has neither COCO nor ImageNet weights of it.
    """
    return cast(MaskRCNN, build("maskrcnn_resnext152_32x8d_fpn", options, block=block))


@shows(KeypointArguments, ARCHITECTURES["keypointrcnn_resnet50_fpn"].defaults)
def keypointrcnn_resnet50_fpn(
    *, block: BlockOptions | None = None, **options: Unpack[KeypointArguments]
) -> KeypointRCNN:
    """Keypoint R-CNN with ResNet-50-FPN, and non-local blocks in the keypoint head and the backbone (Table 6).

    As `maskrcnn_resnet50_fpn`, but a target has ``keypoints`` (N, K, 3) as x, y, visibility in place of masks.
    ``num_classes`` is 2 by default, person and background, ``num_keypoints`` COCO's 17, and ``nonlocal_head`` inserts a
    block after every second of the keypoint head's 8 convolutions.
    """
    return cast(KeypointRCNN, build("keypointrcnn_resnet50_fpn", options, block=block))


@shows(KeypointArguments, ARCHITECTURES["keypointrcnn_resnet101_fpn"].defaults)
def keypointrcnn_resnet101_fpn(
    *, block: BlockOptions | None = None, **options: Unpack[KeypointArguments]
) -> KeypointRCNN:
    """Keypoint R-CNN with ResNet-101-FPN (Table 6), as `keypointrcnn_resnet50_fpn`; there are no COCO weights of it."""
    return cast(KeypointRCNN, build("keypointrcnn_resnet101_fpn", options, block=block))


@shows(SlimMaskArguments, ARCHITECTURES["maskrcnn_slim_fpn"].defaults)
def maskrcnn_slim_fpn(*, block: BlockOptions | None = None, **options: Unpack[SlimMaskArguments]) -> MaskRCNN:
    """A small Mask R-CNN; the arguments are those of `maskrcnn_resnet50_fpn`. Its maps are small: nothing is pooled."""
    return cast(MaskRCNN, build("maskrcnn_slim_fpn", options, block=block))


@shows(SlimKeypointArguments, ARCHITECTURES["keypointrcnn_slim_fpn"].defaults)
def keypointrcnn_slim_fpn(
    *, block: BlockOptions | None = None, **options: Unpack[SlimKeypointArguments]
) -> KeypointRCNN:
    """A small Keypoint R-CNN with two convolutions in its head, so one place for a block there; else as above."""
    return cast(KeypointRCNN, build("keypointrcnn_slim_fpn", options, block=block))
