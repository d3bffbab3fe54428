"""The video networks of the paper, C2D and I3D on ResNet-50 and ResNet-101, and its detectors (`models.detection`)."""

from nonlocalnet.models import detection
from nonlocalnet.models.control import c2d_resnet50_control, c2d_resnet101_control
from nonlocalnet.models.factories import c2d_resnet50, c2d_resnet101, i3d_resnet50, i3d_resnet101
from nonlocalnet.models.summary import ModelSummary, summarise
from nonlocalnet.models.video import VideoResNet

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
