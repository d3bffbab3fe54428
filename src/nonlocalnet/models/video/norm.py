"""The normalisation of the trunk: BatchNorm, or what [C2] leaves of a frozen one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

import torch
from torch import nn

from nonlocalnet.models.video.geometry import Geometry, TrunkNorm

MakeNorm = Callable[[int], nn.Module]


class FrozenAffine(nn.Module):
    """A scale and a shift for every channel that are never trained ([C2]'s AffineNd, a BatchNorm folded into two).

    Buffers: weight, bias.

    Args:
        channels: C of the input (B, C, *positions).
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return weight * x + bias."""
        shape = (1, -1, *(1,) * (x.ndim - 2))
        return x * self.weight.view(shape) + self.bias.view(shape)


def norm_maker(trunk_norm: TrunkNorm, geometry: Geometry) -> MakeNorm:
    """Return what makes the trunk's normalisations.

    Raises:
        ValueError: If `trunk_norm` is neither "batch" nor "affine".
    """
    if trunk_norm == "batch":
        return partial(nn.BatchNorm3d, eps=geometry.norm_eps, momentum=geometry.norm_momentum)
    if trunk_norm == "affine":
        return FrozenAffine
    raise ValueError(f"trunk_norm must be one of {', '.join(get_args(TrunkNorm))}, got {trunk_norm!r}")
