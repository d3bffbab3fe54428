"""The rows of the paper's Tables 5 and 6: Mask R-CNN and keypoints on COCO, with and without non-local blocks.

Published numbers are AP, AP50 and AP75 on val2017, in percent, from arXiv 1711.07971v3. The paper says that its
detectors start from ImageNet weights and are trained end to end as Mask R-CNN is; `nonlocalnet.runs.detection.config`
says what that means here. It does not say for how long: the schedule is "1x", and "2x" is a setting.
"""

from __future__ import annotations

from typing import Literal

from nonlocalnet.engine.config import AS_PUBLISHED
from nonlocalnet.models.detection.names import DetectorName
from nonlocalnet.runs.detection.config import DetectionModelConfig, DetectionRecipe

Trunk = Literal["r50", "r101", "x152"]
_TRUNKS: dict[Trunk, tuple[str, DetectorName]] = {
    "r50": ("R50", "maskrcnn_resnet50_fpn"),
    "r101": ("R101", "maskrcnn_resnet101_fpn"),
    "x152": ("X152", "maskrcnn_resnext152_32x8d_fpn"),
}
# Box AP, AP50, AP75, mask AP, AP50, AP75.
_MASKS: dict[tuple[Trunk, bool], tuple[float, ...]] = {
    ("r50", False): (38.0, 59.6, 41.0, 34.6, 56.4, 36.5),
    ("r50", True): (39.0, 61.1, 41.9, 35.5, 58.0, 37.4),
    ("r101", False): (39.5, 61.4, 42.9, 36.0, 58.1, 38.3),
    ("r101", True): (40.8, 63.1, 44.5, 37.1, 59.9, 39.2),
    ("x152", False): (44.1, 66.4, 48.4, 39.7, 63.2, 42.2),
    ("x152", True): (45.0, 67.8, 48.9, 40.3, 64.4, 42.8),
}
_MASK_KEYS = ("box_ap", "box_ap50", "box_ap75", "mask_ap", "mask_ap50", "mask_ap75")
_KEYPOINT_KEYS = ("keypoint_ap", "keypoint_ap50", "keypoint_ap75")


def mask(trunk: Trunk, *, blocks: bool) -> DetectionRecipe:
    """A row of Table 5: Mask R-CNN, plain or with one block right before the last residual block of res4."""
    shown, architecture = _TRUNKS[trunk]
    # torchvision has no ImageNet weights of X152: --init brings them.
    weights = None if trunk == "x152" else "IMAGENET1K_V1"
    return DetectionRecipe(
        name=f"coco_mask_{trunk}{'_nl' if blocks else ''}",
        tables=["5"],
        row=f"{shown}, {'+1 NL' if blocks else 'baseline'}",
        published=dict(zip(_MASK_KEYS, _MASKS[trunk, blocks], strict=True)),
        source="arXiv 1711.07971v3, Table 5",
        model=DetectionModelConfig(architecture=architecture, nonlocal_backbone=blocks, weights_backbone=weights),
        trainer=AS_PUBLISHED,
    )


def keypoint(blocks: Literal["none", "head", "head_backbone"]) -> DetectionRecipe:
    """A row of Table 6: keypoints on R101, plain, with four blocks in the head, and one more in the backbone."""
    suffix, row, published = {
        "none": ("", "baseline", (65.1, 86.8, 70.4)),
        "head": ("_nl_head", "NL, +4 in head", (66.0, 87.1, 71.7)),
        "head_backbone": ("_nl", "NL, +4 in head, +1 in backbone", (66.5, 87.3, 72.8)),
    }[blocks]
    model = DetectionModelConfig(
        architecture="keypointrcnn_resnet101_fpn",
        num_classes=2,
        nonlocal_head=blocks != "none",
        nonlocal_backbone=blocks == "head_backbone",
    )
    return DetectionRecipe(
        name=f"coco_keypoint_r101{suffix}",
        tables=["6"],
        row=f"R101, {row}",
        published=dict(zip(_KEYPOINT_KEYS, published, strict=True)),
        source="arXiv 1711.07971v3, Table 6",
        model=model,
        trainer=AS_PUBLISHED,
    )
