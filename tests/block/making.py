"""Blocks with random parameters and statistics, for tests whose block must not be the identity."""

from typing import Any

import torch
from torch import Tensor, nn

from nonlocalnet.block import NonLocalBlock

AXES = {1: (5,), 2: (3, 5), 3: (4, 3, 4)}


def trained(block: NonLocalBlock, *, std: float = 0.4) -> NonLocalBlock:
    """The block with parameters and BatchNorm statistics as after training, in eval mode."""
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=std)
    if isinstance(block.norm, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
        nn.init.normal_(block.norm.running_mean)
        nn.init.uniform_(block.norm.running_var, 0.5, 2.0)
    return block.eval()


def random_block(channels: int = 4, **options: Any) -> NonLocalBlock:
    return trained(NonLocalBlock(channels, **options)).double()


def random_input(channels: int = 4, ndim: int = 3, batch: int = 2) -> Tensor:
    return torch.randn(batch, channels, *AXES[ndim], dtype=torch.double)


def random_mask(x: Tensor) -> Tensor:
    """About a third left out, one position kept in every sample at least."""
    mask = torch.rand(x.shape[0], *x.shape[2:]) > 0.35
    mask.flatten(1)[:, 0] = True
    return mask
