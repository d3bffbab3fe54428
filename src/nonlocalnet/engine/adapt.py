"""The form of a network in training: memory order, recomputation, compilation."""

from __future__ import annotations

import torch
from torch import nn

from nonlocalnet.engine.config import TrainerConfig
from nonlocalnet.engine.recompute import recompute_blocks


def adapt_network(model: nn.Module, trainer: TrainerConfig) -> nn.Module:
    """Put a network, in place, into the form that `trainer` asks for."""
    if trainer.channels_last:
        model = model.to(memory_format=torch.channels_last_3d)  # pyright: ignore[reportCallIssue]
    if trainer.recompute:
        recompute_blocks(model)
    if trainer.compile:
        model.compile()
    return model
