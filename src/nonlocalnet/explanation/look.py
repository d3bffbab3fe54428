"""The weights that one position of a non-local block gives to all others, for one real input.

Only the rows of the asked positions are computed, never the N x M matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nonlocalnet.block import Affinities
from nonlocalnet.explanation.axes import Three, cells_of_three, three
from nonlocalnet.explanation.cells import Cells
from nonlocalnet.explanation.watch import BlockCall, chosen_blocks, watch


@dataclass(frozen=True)
class Look:
    """What one position of a block looks at; images have one frame, signals one frame of one row.

    Attributes:
        block: Dotted path of the block in its model.
        position: Grid position (t, y, x) of the asked output position.
        grid: Size (T, H, W) of the block's input, in which `position` counts.
        weights_THW: What multiplies g at every key position, on the (possibly pooled) key grid. For the softmax forms
            they sum to 1; for the dot product and the concatenation they are f / M and may be negative or all zero.
        key_stride: Grid positions that one key covers along t, y and x; 1 where nothing was pooled.
        cells: What the positions stand for along t, y and x, in frames and pixels of the model's input.
    """

    block: str
    position: tuple[int, int, int]
    grid: tuple[int, int, int]
    weights_THW: Tensor
    key_stride: tuple[int, int, int]
    cells: tuple[Cells, Cells, Cells]

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


def look(model: nn.Module, clip: Tensor, *, block: str, at: tuple[float, float, float]) -> Look:
    """Run an input through a model and read where one position of one block looks.

    Args:
        model: A network with non-local blocks; it is run in eval mode without gradients and left as it was.
        clip: One normalised clip, (1, C, T, H, W); an image (1, C, H, W) or a signal (1, C, L) for networks of those.
        block: Dotted path of the block, one of `nonlocal_blocks(model)`.
        at: The position as fractions (t, y, x) of the clip's duration, height and width, each in [0, 1].

    Raises:
        ValueError: Unknown block, fraction outside [0, 1], or not one input.
    """
    blocks = chosen_blocks(model, [block])
    check_one(clip)
    seen: list[Look] = []

    def see(call: BlockCall) -> None:
        asked = asked_position(at, three(call.x.shape[2:]))
        inside = torch.tensor([asked[3 - (call.x.dim() - 2) :]], device=call.x.device)
        rows = call.block.affinity_rows(call.x, inside, key_mask=call.key_mask)
        weights_THW = rows.weights[0, 0].float().cpu().reshape(three(rows.weights.shape[2:]))
        grid, stride = three(call.x.shape[2:]), three(rows.key_stride)
        seen.append(Look(call.name, asked, grid, weights_THW, stride, cells_of_three(call.cells)))

    watch(model, clip, blocks, see)
    if not seen:
        raise ValueError(f"block {block!r} is not called when the model runs on this input")
    return seen[0]


def look_of(name: str, affinities: Affinities, cells: tuple[Cells, Cells, Cells], position: Three) -> Look:
    """Where a position (t, y, x) of affinities, all positions asked, looks."""
    grid = three(affinities.grid)
    number = (position[0] * grid[1] + position[1]) * grid[2] + position[2]
    row = affinities.only(torch.tensor([number], device=affinities.asked.device)).rows()[0, 0]
    weights_THW = row.float().cpu().reshape(three(affinities.key_grid))
    return Look(name, position, grid, weights_THW, three(affinities.key_stride), cells)


def check_one(model_input: Tensor) -> None:
    """Refuse what is not one clip, image or signal."""
    if not 3 <= model_input.ndim <= 5 or len(model_input) != 1:
        raise ValueError(
            "the input must have shape (1, C, T, H, W), (1, C, H, W) for an image or (1, C, L) for a signal, "
            f"got {tuple(model_input.shape)}"
        )


def asked_position(at: tuple[float, float, float], grid: Three) -> Three:
    """The grid position at fractions (t, y, x).

    Raises:
        ValueError: A fraction outside [0, 1].
    """
    if len(at) != 3 or not all(0 <= fraction <= 1 for fraction in at):
        raise ValueError(f"at must be fractions (t, y, x) in [0, 1], got {at}")
    t, y, x = (min(int(fraction * size), size - 1) for fraction, size in zip(at, grid, strict=True))
    return t, y, x
