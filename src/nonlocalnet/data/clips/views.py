"""The views of a video at test time: clips in time, each cut by the same crops in space."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch

from nonlocalnet.data.pixels.crops import check_frames
from nonlocalnet.data.pixels.resize import Scaling, resize, short_side_size

Crops = Literal["three", "centre", "full"]


def cut_views(
    frames: torch.Tensor,
    clips: Sequence[Sequence[int]] | None = None,
    *,
    crops: Crops = "three",
    short_side: int = 256,
    crop: int = 256,
    scaling: Scaling = "antialiased",
) -> torch.Tensor:
    """The views of a video at test time: the crops of its first clip, of its second, and so on.

    Args:
        frames: uint8 (N, H, W, 3).
        clips: Which frames make each clip, as many for each; None: all frames are one clip.
        crops: "three" squares along the longer side: at its start, centre and end ([C2]'s protocol); the "centre"
            square; or the "full" frame (the paper's fully convolutional test).
        short_side: Pixels of the short side after resizing.
        crop: Side of the squares in pixels, at most `short_side`; not used by "full".
        scaling: "release" resizes as [C2], and cuts as it: of three crops the second starts at half of what is left
            over, rounded down, and the third at twice that; a full frame is cut to 1.6 times its shorter side.

    Returns:
        uint8 (V, T, crop, crop, 3), V = 3 or 1 times the clips; for "full" (clips, T, H', W', 3).

    Raises:
        ValueError: The frames are not uint8 (N, H, W, 3), or an argument is out of range.
    """
    check_frames(frames)
    check_test_sizes(crops=crops, short_side=short_side, crop=crop)
    size = short_side_size(frames.shape[1], frames.shape[2], short_side, scaling=scaling)
    resized = resize(frames, *size, scaling=scaling)
    if crops == "full":
        cuts = [resized if scaling == "antialiased" else _at_most_8_to_5(resized)]
    else:
        corners = _corners(resized.shape[1] - crop, resized.shape[2] - crop, crops, scaling)
        cuts = [resized[:, top : top + crop, left : left + crop] for top, left in corners]
    rows = torch.tensor([range(len(frames))] if clips is None else clips)
    views = resized.new_empty((len(rows), len(cuts), rows.shape[1], *cuts[0].shape[1:]))
    for clip, of_frames in enumerate(rows):
        for place, cut in enumerate(cuts):  # straight to its place: a video's 30 views are 190 MB
            torch.index_select(cut, 0, of_frames, out=views[clip, place])
    return views.flatten(0, 1)


def _at_most_8_to_5(frames: torch.Tensor) -> torch.Tensor:
    """The middle of frames whose longer side is more than 1.6 times the shorter one ("extreme size" in [C2])."""
    height, width = frames.shape[1:3]
    longest = int(np.float32(1.6) * np.float32(min(height, width)))
    top, left = max(0, height - longest) // 2, max(0, width - longest) // 2
    return frames[:, top : top + longest, left : left + longest]


def _corners(space_y: int, space_x: int, crops: Crops, scaling: Scaling) -> list[tuple[int, int]]:
    """(top, left) of each square, from the pixels that are left over in height and width.

    |aaaa|      |      three squares along the longer side; centred across the shorter one
    |   |bbbb|  |
    |      |cccc|
    """
    if crops == "centre":
        return [(space_y // 2, space_x // 2)]
    if scaling == "release":
        down, across = space_y // 2, space_x // 2
        return [(down * place, across) if down > 0 else (0, across * place) for place in range(3)]
    if space_x >= space_y:
        return [(space_y // 2, left) for left in (0, space_x // 2, space_x)]
    return [(top, space_x // 2) for top in (0, space_y // 2, space_y)]


def check_test_sizes(*, crops: str, short_side: int, crop: int) -> None:
    """Raise ValueError, naming the field, unless the test views can be cut."""
    if crops not in get_args(Crops):
        raise ValueError(f"crops must be one of {', '.join(get_args(Crops))}, got {crops!r}")
    if short_side < 1:
        raise ValueError(f"short_side must be at least 1, got {short_side}")
    if crops != "full" and not 1 <= crop <= short_side:
        raise ValueError(f"crop must be from 1 to short_side ({short_side}), got {crop}")
