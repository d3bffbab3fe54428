"""The residual block of the video networks: 1x1x1, 3x3, 1x1x1, with one kernel that an I3D may inflate in time."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

from nonlocalnet.models.video.geometry import Inflate, Size
from nonlocalnet.models.video.norm import MakeNorm


class Bottleneck(nn.Module):
    """Three convolutions, each followed by its normalisation, around a shortcut.

    The spatial stride is on the 3x3 convolution ([C2]). Children: conv1, norm1, conv2, norm2, conv3, norm3 and, where
    the shape changes, downsample.conv and downsample.norm.

    Args:
        in_channels: Channels of the input.
        inner_channels: Channels of the 3x3 convolution; the output has 4 times as many.
        stride: Spatial stride, 1 or 2.
        inflate: Which kernel spans 3 frames: "3x1x1" the first 1x1, "3x3x3" the 3x3; None for neither.
        norm: Makes the normalisation of so many channels.

    Shape:
        (B, in_channels, T, H, W) -> (B, 4 * inner_channels, T, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        inner_channels: int,
        *,
        stride: int = 1,
        inflate: Inflate | None = None,
        norm: MakeNorm = nn.BatchNorm3d,
    ) -> None:
        super().__init__()
        out_channels = 4 * inner_channels
        kernel1: Size = (3 if inflate == "3x1x1" else 1, 1, 1)
        kernel2: Size = (3 if inflate == "3x3x3" else 1, 3, 3)

        self.conv1 = conv3d(in_channels, inner_channels, kernel1)
        self.norm1 = norm(inner_channels)
        self.conv2 = conv3d(inner_channels, inner_channels, kernel2, stride=(1, stride, stride))
        self.norm2 = norm(inner_channels)
        self.conv3 = conv3d(inner_channels, out_channels, (1, 1, 1))
        self.norm3 = norm(out_channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            conv = conv3d(in_channels, out_channels, (1, 1, 1), stride=(1, stride, stride))
            self.downsample = nn.Sequential(OrderedDict(conv=conv, norm=norm(out_channels)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ReLU(residual(x) + shortcut(x))."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.norm1(self.conv1(x)), inplace=True)
        out = F.relu(self.norm2(self.conv2(out)), inplace=True)
        out = self.norm3(self.conv3(out))
        return F.relu(out + shortcut, inplace=True)


def conv3d(in_channels: int, out_channels: int, kernel: Size, *, stride: Size = (1, 1, 1)) -> nn.Conv3d:
    """A convolution without bias, padded by half its kernel, so that only its stride changes the size."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(in_channels, out_channels, kernel, stride=stride, padding=padding, bias=False)
