"""Maps to the sets of positions that are summed together, and back.

    domain         sets, of a map (B, C, T, H, W)          positions of each
    spacetime      B, or B G with temporal groups          F H W, all of the group's F frames
    space          B T, a group of one frame               H W
    time           B G H W                                 F, one location through its group's frames

Shape suffixes: B batch, C channels; G groups of frames, F frames in a group, S positions in one frame.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nonlocalnet.block.options import Domain


class Folding(NamedTuple):
    """One side of a block: the output positions, or the keys, which may be pooled.

    Attributes:
        ndim: Axes of a map.
        domain: The block's.
        group_frames: Frames that share their keys; None for all.
    """

    ndim: int
    domain: Domain
    group_frames: int | None

    def fold(self, features: Tensor) -> Tensor:
        """(B, C, *positions) to (B G, F S, C), the sets of positions summed together; (B G S, F, C) for "time"."""
        batch, channels = features.shape[:2]
        # One group takes no axis of its own: torch.export would guard whether 1 divides into the open sizes.
        if self.group_frames is None and self.domain == "spacetime":
            return features.flatten(2).transpose(1, 2)
        groups, frames, places = self.sizes(features)
        features = features.reshape(batch, channels, groups, frames, places)
        if self.domain == "time":
            return features.permute(0, 2, 4, 3, 1).reshape(batch * groups * places, frames, channels)
        return features.permute(0, 2, 3, 4, 1).reshape(batch * groups, frames * places, channels)

    def unfold(self, y: Tensor, x: Tensor) -> Tensor:
        """The inverse of `fold` for the positions of x: to (B, D, *positions)."""
        batch, channels = x.shape[0], y.shape[2]
        if self.group_frames is None and self.domain == "spacetime":
            return y.transpose(1, 2).reshape(batch, channels, *x.shape[2:])
        groups, frames, places = self.sizes(x)
        if self.domain == "time":
            y = y.reshape(batch, groups, places, frames, channels).permute(0, 4, 1, 3, 2)
        else:
            y = y.reshape(batch, groups, frames, places, channels).permute(0, 4, 1, 2, 3)
        return y.reshape(batch, channels, *x.shape[2:])

    def sizes(self, features: Tensor) -> tuple[int, int, int]:
        """G, F and S of a map; one- and two-dimensional maps are one frame."""
        if self.ndim < 3:
            return 1, 1, math.prod(features.shape[2:])
        frames, places = features.shape[2], math.prod(features.shape[3:])
        if self.group_frames is None:
            return 1, frames, places
        return frames // self.group_frames, self.group_frames, places


def numbered(features: Tensor) -> Tensor:
    """(1, 1, *grid) of a map's positions, numbered in row-major order."""
    grid = features.shape[2:]
    return torch.arange(math.prod(grid), device=features.device).reshape(1, 1, *grid)
