"""Activation checkpointing: every block keeps its input alone, and is computed again in the backward pass.

A training step then holds the inputs of all blocks and the inner features of one, instead of those of all. The numbers
are the same: BatchNorm updates its running statistics in the first computation only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recompute_blocks(model: nn.Module) -> int:
    """Checkpoint the activations of every part of every `Sequential` of a network, in place.

    For the networks of this package these are the residual and the non-local blocks. State dict, hooks and evaluation
    stay as they were.

    Args:
        model: The network.

    Returns:
        How many blocks are checkpointed.

    Raises:
        ValueError: If the network has no such block.
    """
    blocks = [block for child in model.children() if isinstance(child, nn.Sequential) for block in child]
    for block in blocks:
        # On the instance: a module around the block would change the names of its tensors.
        block.forward = _Recomputed(block)
    if not blocks:
        raise ValueError(f"trainer.recompute needs a network of blocks, and {type(model).__name__} has no Sequential")
    return len(blocks)


class _Recomputed:
    """Stands in for a block's `forward`."""

    def __init__(self, block: nn.Module) -> None:
        self.forward: Callable[[torch.Tensor], torch.Tensor] = block.forward
        self.norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return self.forward(x)
        # No block draws random numbers, so no generator state needs keeping.
        result: Any = checkpoint(
            self.forward, x, use_reentrant=False, preserve_rng_state=False, context_fn=self._contexts
        )
        return result

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return contextlib.nullcontext(), self._statistics_kept()

    @contextlib.contextmanager
    def _statistics_kept(self) -> Iterator[None]:
        """Let BatchNorm update copies of its statistics, and put its own back."""
        trained = [norm for norm in self.norms if norm.training]
        own = [dict(norm._buffers) for norm in trained]
        for norm, buffers in zip(trained, own, strict=True):
            norm._buffers.update({name: b if b is None else b.clone() for name, b in buffers.items()})
        try:
            yield
        finally:
            for norm, buffers in zip(trained, own, strict=True):
                norm._buffers.update(buffers)
