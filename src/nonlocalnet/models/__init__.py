"""The video networks of the paper, C2D and I3D on ResNet-50 and ResNet-101, and its detectors (`models.detection`).

`models.sequence` has networks for text, sound and other sequences, which the paper has not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nonlocalnet.system.lazy import lazy_names

if TYPE_CHECKING:
    from nonlocalnet.models import detection, sequence
    from nonlocalnet.models.video.factories import (
        c2d_resnet50,
        c2d_resnet50_control,
        c2d_resnet101,
        c2d_resnet101_control,
        i3d_resnet50,
        i3d_resnet101,
    )
    from nonlocalnet.models.video.network import VideoResNet
    from nonlocalnet.models.video.summary import ModelSummary, summarise

__all__ = [
    "ModelSummary",
    "VideoResNet",
    "c2d_resnet50",
    "c2d_resnet50_control",
    "c2d_resnet101",
    "c2d_resnet101_control",
    "detection",
    "i3d_resnet50",
    "i3d_resnet101",
    "sequence",
    "summarise",
]

# A card needs no networks, and a video network no torchvision, whose import takes longer than PyTorch's.
_HOMES = {
    **dict.fromkeys(__all__, "video.factories"),
    "ModelSummary": "video.summary",
    "VideoResNet": "video.network",
    "detection": "detection",
    "sequence": "sequence",
    "summarise": "video.summary",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
