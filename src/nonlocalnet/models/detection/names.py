"""The detectors' names, for those who need no network."""

from __future__ import annotations

from typing import Literal

DetectorName = Literal[
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet101_fpn",
    "maskrcnn_resnext152_32x8d_fpn",
    "maskrcnn_slim_fpn",
    "keypointrcnn_resnet50_fpn",
    "keypointrcnn_resnet101_fpn",
    "keypointrcnn_slim_fpn",
]


def has_keypoints(name: DetectorName) -> bool:
    """Whether the detector gives keypoints, and else masks.

    >>> has_keypoints("keypointrcnn_slim_fpn"), has_keypoints("maskrcnn_slim_fpn")
    (True, False)
    """
    return name.startswith("keypointrcnn")
