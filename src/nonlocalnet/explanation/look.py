"""The weights that one position of a non-local block gives to all others, for one real clip.

Only the rows of the asked positions are computed, never the N x M matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nonlocalnet.block import NonLocalBlock
from nonlocalnet.insert import nonlocal_blocks


@dataclass(frozen=True)
class Look:
    """What one position of a block looks at.

    Attributes:
        block: Dotted path of the block in its model.
        position: Grid position (t, y, x) of the asked output position.
        grid: Size (T, H, W) of the block's input, in which `position` counts.
        weights_THW: What multiplies g at every key position, on the (possibly pooled) key grid. For the softmax forms
            they sum to 1; for the dot product and the concatenation they are f / M and may be negative or all zero.
        key_stride: Grid positions that one key covers along t, y and x; 1 where nothing was pooled.
    """

    block: str
    position: tuple[int, int, int]
    grid: tuple[int, int, int]
    weights_THW: Tensor
    key_stride: tuple[int, int, int]

    def strongest(self, count: int = 20) -> list[tuple[tuple[float, float, float], float]]:
        """The `count` keys with the highest weights (Figure 3 of the paper draws 20), highest first.

        Returns:
            Pairs of a key's centre (t, y, x) in grid positions and its weight.
        """
        values, indices = self.weights_THW.flatten().topk(min(count, self.weights_THW.numel()))
        cells = torch.stack(torch.unravel_index(indices, self.weights_THW.shape), dim=1)
        centres = (cells + 0.5) * torch.tensor(self.key_stride)
        return [((t, y, x), value) for (t, y, x), value in zip(centres.tolist(), values.tolist(), strict=True)]

    def spread(self) -> Tensor:
        """The weights on the block's own grid (T, H, W): a key's weight at every position it covers, 0 elsewhere."""
        spread = torch.zeros(self.grid)
        weights = self.weights_THW
        for axis, stride in enumerate(self.key_stride):
            weights = weights.repeat_interleave(stride, dim=axis)
        spread[tuple(slice(size) for size in weights.shape)] = weights
        return spread


def look(model: nn.Module, clip_1CTHW: Tensor, *, block: str, at: tuple[float, float, float]) -> Look:
    """Run a clip through a model and read where one position of one block looks.

    Args:
        model: A network with non-local blocks; it is run in eval mode without gradients and left as it was.
        clip_1CTHW: One normalised clip, (1, C, T, H, W).
        block: Dotted path of the block, one of `nonlocal_blocks(model)`.
        at: The position as fractions (t, y, x) of the clip's duration, height and width, each in [0, 1].

    Raises:
        ValueError: Unknown block, fraction outside [0, 1], or a clip that is not one clip.
    """
    blocks = nonlocal_blocks(model)
    if block not in blocks:
        raise ValueError(f"block {block!r} is not in the model; its non-local blocks are {', '.join(blocks) or 'none'}")
    if clip_1CTHW.ndim != 5 or len(clip_1CTHW) != 1:
        raise ValueError(f"clip must have shape (1, C, T, H, W), got {tuple(clip_1CTHW.shape)}")
    if not all(0 <= fraction <= 1 for fraction in at):
        raise ValueError(f"at must be fractions (t, y, x) in [0, 1], got {at}")
    with torch.no_grad():
        x = _block_input(model, blocks[block], clip_1CTHW)
        grid = (x.shape[2], x.shape[3], x.shape[4])
        t, y, x_ = (min(int(fraction * size), size - 1) for fraction, size in zip(at, grid, strict=True))
        rows = blocks[block].affinity_rows(x, torch.tensor([[t, y, x_]], device=x.device))
    stride_t, stride_y, stride_x = rows.key_stride
    return Look(block, (t, y, x_), grid, rows.weights[0, 0].float().cpu(), (stride_t, stride_y, stride_x))


def _block_input(model: nn.Module, block: NonLocalBlock, clip_1CTHW: Tensor) -> Tensor:
    captured: list[Tensor] = []
    handle = block.register_forward_pre_hook(lambda _, inputs: captured.append(inputs[0].detach()))
    was_training = [module for module in model.modules() if module.training]
    try:
        model.eval()(clip_1CTHW)
    finally:
        handle.remove()
        for module in was_training:
            module.training = True
    return captured[0]
