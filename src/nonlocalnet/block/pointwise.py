"""1x1 convolutions as matrix products where that is faster: on a CPU.

PyTorch's convolutions on a CPU go through oneDNN, whose backward pass orders the map anew. One product a batch element
takes the map as it lies: measured on two threads at 64 to 32 channels, forward with backward, 1.4 times faster for a
batch of 32 with 400 positions and 2.7 times for 2^20 positions; in networks for video 1.0 to 1.5 times.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from nonlocalnet.functional.precision import autocast_is_on, is_exporting


class _Pointwise(_ConvNd):
    """Before a convolution of kernel 1 among the bases of a class."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # noqa: A002
        """(B, C, *positions) to (B, D, *positions)."""
        if bias is None or not _as_product(input):
            return super()._conv_forward(input, weight, bias)
        weight_BDC = weight.flatten(1).expand(len(input), -1, -1)
        return torch.baddbmm(bias.unsqueeze(1), weight_BDC, input.flatten(2)).unflatten(2, input.shape[2:])


def _as_product(x: Tensor) -> bool:
    # What is traced stays a convolution: compilers and other programs know what to do with one.
    if x.device.type != "cpu" or torch.compiler.is_compiling() or is_exporting() or autocast_is_on(x):
        return False
    # Of a sequence the rows of y, turned, are taken as they lie, too; a map that is channels-last shall stay so.
    return x.dtype in (torch.float32, torch.float64) and (x.is_contiguous() or (x.dim() == 3 and x.mT.is_contiguous()))


class PointwiseConv1d(_Pointwise, nn.Conv1d):
    """(B, C, L)."""


class PointwiseConv2d(_Pointwise, nn.Conv2d):
    """(B, C, H, W)."""


class PointwiseConv3d(_Pointwise, nn.Conv3d):
    """(B, C, T, H, W)."""


POINTWISE: dict[int, type[PointwiseConv1d | PointwiseConv2d | PointwiseConv3d]] = {
    1: PointwiseConv1d,
    2: PointwiseConv2d,
    3: PointwiseConv3d,
}
