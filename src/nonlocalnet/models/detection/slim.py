"""Small detectors for small images: what the demonstrations and the generated data use. Not in the paper.

torchvision's classes throughout: a ResNet of basic blocks [1, 1, 2, 1] with half the usual channels, a pyramid of 32
and narrow heads. layer3 has two blocks, so that "right before the last residual block of res4" is a place inside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import nn
from torchvision.models.detection import KeypointRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from nonlocalnet.block import Norm
from nonlocalnet.functional import Pairwise
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models.detection.assemble import BlockOptions, Common, keypoint_rcnn, mask_rcnn
from nonlocalnet.models.detection.trunks import SLIM

_CHANNELS = 32
_BOX_FEATURES = 128
_POOLED = 7 * 7
_KEYPOINT_LAYERS = (64, 64)
_ANCHOR_SIZES = ((16,), (32,), (64,), (128,), (256,))


def maskrcnn_slim_fpn(
    *,
    num_classes: int = 3,
    min_size: int | Sequence[int] = 96,
    max_size: int = 320,
    frozen_bn: bool = False,
    box_score_thresh: float = 0.05,
    box_detections_per_img: int = 100,
    nonlocal_backbone: bool = True,
    inner_channels: int | None = None,
    pairwise: Pairwise = "embedded_gaussian",
    scale: float | Literal["rsqrt"] | None = None,
    subsample: int | Sequence[int] | None = None,
    subsample_first: bool = True,
    norm: Norm | None = None,
    zero_init: bool = True,
) -> MaskRCNN:
    """A small Mask R-CNN; the arguments are those of `maskrcnn_resnet50_fpn`. Its maps are small: nothing is pooled."""
    common = _common(num_classes, min_size, max_size, frozen_bn, box_score_thresh, box_detections_per_img)
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
    detector = mask_rcnn(
        common,
        blocks,
        mask_head=MaskRCNNHeads(_CHANNELS, (_CHANNELS, _CHANNELS), 1),
        mask_predictor=MaskRCNNPredictor(_CHANNELS, _CHANNELS, num_classes),
        **_proposals_and_boxes(num_classes),
    )
    _draw_for_few_channels(detector)
    return detector


def keypointrcnn_slim_fpn(
    *,
    num_classes: int = 2,
    num_keypoints: int = 3,
    min_size: int | Sequence[int] = 96,
    max_size: int = 320,
    frozen_bn: bool = False,
    box_score_thresh: float = 0.05,
    box_detections_per_img: int = 100,
    nonlocal_backbone: bool = True,
    nonlocal_head: bool = True,
    inner_channels: int | None = None,
    pairwise: Pairwise = "embedded_gaussian",
    scale: float | Literal["rsqrt"] | None = None,
    subsample: int | Sequence[int] | None = None,
    subsample_first: bool = True,
    norm: Norm | None = None,
    zero_init: bool = True,
) -> KeypointRCNN:
    """A small Keypoint R-CNN with two convolutions in its head, so one place for a block there; else as above."""
    common = _common(num_classes, min_size, max_size, frozen_bn, box_score_thresh, box_detections_per_img)
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
    detector = keypoint_rcnn(
        common,
        blocks,
        num_keypoints=num_keypoints,
        keypoint_head=KeypointRCNNHeads(_CHANNELS, _KEYPOINT_LAYERS),
        keypoint_predictor=KeypointRCNNPredictor(_KEYPOINT_LAYERS[-1], num_keypoints),
        **_proposals_and_boxes(num_classes),
    )
    _draw_for_few_channels(detector)
    return detector


def _draw_for_few_channels(detector: nn.Module) -> None:
    """Let every convolution of the blocks keep the size of its input, as N(0, 0.01) about does for 1024 channels.

    With 32 to 128 channels it would leave a signal a hundred times smaller after theta, g and W_z: trained from
    scratch for a few hundred steps the blocks then learned nothing.
    """
    for block in nonlocal_blocks(detector).values():
        for convolution in (block.theta, block.phi, block.g, block.out):
            if convolution is not None:
                nn.init.normal_(convolution.weight, std=convolution.in_channels**-0.5)
        if block.zero_init and block.norm is None:
            nn.init.zeros_(block.out.weight)


def _common(
    num_classes: int,
    min_size: int | Sequence[int],
    max_size: int,
    frozen_bn: bool,
    box_score_thresh: float,
    box_detections_per_img: int,
) -> Common:
    return Common(
        trunk=SLIM,
        weights=None,
        weights_enum=None,
        weights_backbone=None,
        progress=False,
        num_classes=num_classes,
        trainable_backbone_layers=None,
        frozen_bn=frozen_bn,
        min_size=min_size,
        max_size=max_size,
        box_score_thresh=box_score_thresh,
        box_detections_per_img=box_detections_per_img,
        fpn_channels=_CHANNELS,
    )


def _proposals_and_boxes(num_classes: int) -> dict[str, Any]:
    """Anchors, proposals and box head in the measure of small images with a few objects."""
    return {
        "rpn_anchor_generator": AnchorGenerator(_ANCHOR_SIZES, ((0.25, 0.5, 1.0, 2.0),) * len(_ANCHOR_SIZES)),
        "rpn_pre_nms_top_n_train": 200,
        "rpn_post_nms_top_n_train": 100,
        "rpn_pre_nms_top_n_test": 200,
        "rpn_post_nms_top_n_test": 50,
        "rpn_batch_size_per_image": 64,
        "box_batch_size_per_image": 32,
        "box_positive_fraction": 0.5,
        "box_head": TwoMLPHead(_CHANNELS * _POOLED, _BOX_FEATURES),
        "box_predictor": FastRCNNPredictor(_BOX_FEATURES, num_classes),
    }
