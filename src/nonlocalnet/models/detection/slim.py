"""Small detectors for small images: what the demonstrations and the generated data use. Not in the paper.

torchvision's classes throughout: a ResNet of basic blocks [1, 1, 2, 1] with half the usual channels, a pyramid of 32
and narrow heads. layer3 has two blocks, so that "right before the last residual block of res4" is a place inside it;
the keypoint head has two convolutions, so one place for a block.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models.detection.options import DetectorOptions

CHANNELS = 32
_BOX_FEATURES = 128
_POOLED = 7 * 7
_KEYPOINT_LAYERS = (64, 64)
_ANCHOR_SIZES = ((16,), (32,), (64,), (128,), (256,))


def mask_heads(options: DetectorOptions) -> dict[str, Any]:
    """Arguments of torchvision's `MaskRCNN`."""
    return {
        "mask_head": MaskRCNNHeads(CHANNELS, (CHANNELS, CHANNELS), 1),
        "mask_predictor": MaskRCNNPredictor(CHANNELS, CHANNELS, options.num_classes),
        **_proposals_and_boxes(options.num_classes),
    }


def keypoint_heads(options: DetectorOptions) -> dict[str, Any]:
    """Arguments of torchvision's `KeypointRCNN`."""
    return {
        "keypoint_head": KeypointRCNNHeads(CHANNELS, _KEYPOINT_LAYERS),
        "keypoint_predictor": KeypointRCNNPredictor(_KEYPOINT_LAYERS[-1], options.num_keypoints),
        **_proposals_and_boxes(options.num_classes),
    }


def draw_for_few_channels(detector: nn.Module) -> None:
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


def _proposals_and_boxes(num_classes: int | None) -> dict[str, Any]:
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
        "box_head": TwoMLPHead(CHANNELS * _POOLED, _BOX_FEATURES),
        "box_predictor": FastRCNNPredictor(_BOX_FEATURES, num_classes),
    }
