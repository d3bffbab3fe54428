"""What may follow W_z in a block."""

from __future__ import annotations

import math

from torch import Tensor, nn
from typing_extensions import override

from nonlocalnet.block.options import Norm

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
BATCH_NORMS: dict[int, type[BatchNorm]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


# PyTorch's 1e-5 would magnify 300 times the rounding of a y that hardly differs between its channels, and with it what
# a sequence is padded beside.
_CHANNEL_EPS = 1e-3


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each position of (B, C, *positions): no position and no sample sees another."""

    @override
    def forward(self, input: Tensor) -> Tensor:
        """(B, C, *positions), every position with mean 0 and variance 1 over C, times the weight, plus the bias."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


def make_norm(norm: Norm | None, channels: int, ndim: int) -> BatchNorm | ChannelNorm | None:
    """The module of an option; eps and momentum of BatchNorm are [C2]'s."""
    if norm is None:
        return None
    return (
        ChannelNorm(channels, eps=_CHANNEL_EPS)
        if norm == "layer"
        else BATCH_NORMS[ndim](channels, eps=1e-5, momentum=0.1)
    )


def check_batch_norm(norm: nn.Module, x: Tensor) -> None:
    """Refuse a single value per channel where its statistics are wanted.

    Raises:
        ValueError: Naming x's shape and what to do.
    """
    # SyncBatchNorm counts the values of all processes, and says so itself.
    if not isinstance(norm, tuple(BATCH_NORMS.values())) or not norm.training:
        return
    if x.shape[0] * math.prod(x.shape[2:]) == 1:
        raise ValueError(
            f"NonLocalBlock: BatchNorm in training needs more than one value per channel, got x {tuple(x.shape)}: "
            "use a larger batch or map, eval mode, or norm=None"
        )
