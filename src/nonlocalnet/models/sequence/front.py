"""From what is read to a recurrence's steps: numbers as they are, tokens by their embedding, sound by its log-mels.

A front has a `size`, the channels of a step; `steps` turns lengths of the input into lengths of its output; and it is
called with x and the mask of what is no padding. Shapes: B batch, T steps, C channels, S samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nonlocalnet.block.options import positive
from nonlocalnet.models.sequence.log_mel import LogMel

__all__ = ["Embedded", "Features", "Front", "LogMel"]


class Features(nn.Module):
    """Steps of numbers, as they are.

    Args:
        input_size: C.
    """

    def __init__(self, *, input_size: int = 1) -> None:
        super().__init__()
        self.size = positive("input_size", input_size)

    def steps(self, lengths: Tensor) -> Tensor:
        """As many as there are."""
        return lengths

    def forward(self, x: Tensor, kept_BT: Tensor | None = None) -> Tensor:
        """(B, T, C), as it is but for the padding, which is 0.

        Raises:
            ValueError: x is no floating point (B, T, C).
        """
        if x.dim() != 3 or x.shape[2] != self.size or not x.is_floating_point():
            raise ValueError(
                f"features are floating point x (B, T, C) with C = {self.size}, got {x.dtype} {tuple(x.shape)}"
            )
        return x if kept_BT is None else x.masked_fill(~kept_BT.unsqueeze(2), 0.0)


class Embedded(nn.Module):
    """Tokens, numbers from 0 to vocabulary_size - 1, each a learned vector; bytes of a text are 256 tokens.

    Args:
        vocabulary_size: How many tokens there are.
        embedding_size: C.
    """

    def __init__(self, *, vocabulary_size: int = 256, embedding_size: int = 32) -> None:
        super().__init__()
        self.vocabulary_size = positive("vocabulary_size", vocabulary_size)
        self.size = positive("embedding_size", embedding_size)
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)

    def steps(self, lengths: Tensor) -> Tensor:
        """As many as there are."""
        return lengths

    def forward(self, x: Tensor, kept_BT: Tensor | None = None) -> Tensor:
        """(B, T, C) of tokens (B, T); the padding may hold any number.

        Raises:
            ValueError: x is no integer (B, T), or holds a number that is no token.
        """
        if x.dim() != 2 or x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise ValueError(f"tokens are integers x (B, T), got {x.dtype} {tuple(x.shape)}")
        tokens = x.long() if kept_BT is None else x.long().masked_fill(~kept_BT, 0)
        # Its values cannot be asked for while a graph is traced.
        if not torch.compiler.is_compiling() and tokens.numel():
            low, high = int(tokens.min()), int(tokens.max())
            if low < 0 or high >= self.vocabulary_size:
                wrong = low if low < 0 else high
                raise ValueError(
                    f"tokens must be from 0 to vocabulary_size - 1 = {self.vocabulary_size - 1}, got {wrong}"
                )
        return self.embedding(tokens)


Front = Features | Embedded | LogMel
