"""The video networks of the paper, C2D and I3D on ResNet-50 and ResNet-101, and its detectors (`models.detection`)."""

from nonlocalnet.models import detection
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
    "summarise",
]
