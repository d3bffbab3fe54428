"""Detection, segmentation and keypoints with non-local blocks (Section 6), on torchvision's detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nonlocalnet.system.lazy import lazy_names

if TYPE_CHECKING:
    from nonlocalnet.models.detection.add import add_nonlocal
    from nonlocalnet.models.detection.cost import DetectorCost, detector_cost
    from nonlocalnet.models.detection.factories import (
        keypointrcnn_resnet50_fpn,
        keypointrcnn_resnet101_fpn,
        keypointrcnn_slim_fpn,
        maskrcnn_resnet50_fpn,
        maskrcnn_resnet101_fpn,
        maskrcnn_resnext152_32x8d_fpn,
        maskrcnn_slim_fpn,
    )
    from nonlocalnet.models.detection.receptive import receptive_field

__all__ = [
    "DetectorCost",
    "add_nonlocal",
    "detector_cost",
    "keypointrcnn_resnet50_fpn",
    "keypointrcnn_resnet101_fpn",
    "keypointrcnn_slim_fpn",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet101_fpn",
    "maskrcnn_resnext152_32x8d_fpn",
    "maskrcnn_slim_fpn",
    "receptive_field",
]

_HOMES = {
    **dict.fromkeys(__all__, "factories"),
    "DetectorCost": "cost",
    "add_nonlocal": "add",
    "detector_cost": "cost",
    "receptive_field": "receptive",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
