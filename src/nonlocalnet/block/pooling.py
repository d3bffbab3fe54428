"""The max-pooling that makes keys of positions: its windows, masks, and what a causal block has seen of them.

Shape suffixes: B batch, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

_MAX_POOL: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


class Pooling(NamedTuple):
    """The pooling of a block's keys and values.

    Attributes:
        kernel: Its window along each axis, which is its stride too; 1 where an axis is not pooled.
        causal: Whether the block is.
    """

    kernel: tuple[int, ...]
    causal: bool

    def on(self, x: Tensor) -> tuple[int, ...]:
        """The windows on this map: 1 on an axis that is shorter than its window, which pooling would empty.

        Not so in the time of a causal block: what later positions make whole windows of must not change.
        """
        return tuple(1 if k == 1 or size < k else k for k, size in zip(self.kernel, x.shape[2:], strict=True))

    def leaves_no_key(self, x: Tensor) -> bool:
        """Whether no window of a causal block is whole yet: an axis that is too short is not left unpooled there."""
        return self.causal and x.shape[2] < self.kernel[0]

    def whole_frames(self, x: Tensor) -> int:
        """The frames (positions of a sequence) of x that are in whole windows."""
        return x.shape[2] // self.kernel[0] * self.kernel[0]

    def grid(self, x: Tensor) -> tuple[int, ...]:
        """The axes of the keys of x."""
        return tuple(size // k for size, k in zip(x.shape[2:], self.on(x), strict=True))

    def mask(self, key_mask: Tensor | None, x: Tensor) -> Tensor | None:
        """(B, 1, *grid) bool, the keys with any position that is kept; None where all are."""
        return None if key_mask is None else _max_pool(key_mask.unsqueeze(1).to(x.dtype), self.on(x)) > 0

    def pooled(self, features: Tensor, key_mask: Tensor | None, keys_mask: Tensor | None) -> Tensor:
        """(B, C, *grid), the maxima over what is kept; 0 where nothing is. `keys_mask` is the mask's own `mask`."""
        kernel = self.on(features)
        if key_mask is None or keys_mask is None or math.prod(kernel) == 1:
            return _max_pool(features, kernel)
        kept_only = _max_pool(features.masked_fill(~key_mask.unsqueeze(1), -math.inf), kernel)
        return kept_only.masked_fill(~keys_mask, 0.0)  # -inf times a gradient of 0 would be NaN


def _max_pool(features: Tensor, kernel: tuple[int, ...]) -> Tensor:
    return features if math.prod(kernel) == 1 else _MAX_POOL[len(kernel)](features, kernel)
