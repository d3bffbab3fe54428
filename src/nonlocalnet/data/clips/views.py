"""The views of a video at test time: clips in time, each cut by the same crops in space."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch

from nonlocalnet.data.pixels.crops import check_frames
from nonlocalnet.data.pixels.resize import resize, short_side_size

Crops = Literal["three", "centre", "full"]


def cut_views(
    frames: torch.Tensor,
    clips: Sequence[Sequence[int]] | None = None,
    *,
    crops: Crops = "three",
    short_side: int = 256,
    crop: int = 256,
) -> torch.Tensor:
    """The views of a video at test time: the crops of its first clip, of its second, and so on.

    Args:
        frames: uint8 (N, H, W, 3).
        clips: Which frames make each clip, as many for each; None: all frames are one clip.
        crops: "three" squares along the longer side: at its start, centre and end ([C2]'s protocol); the "centre"
            square; or the "full" frame (the paper's fully convolutional test).
        short_side: Pixels of the short side after resizing.
        crop: Side of the squares in pixels, at most `short_side`; not used by "full".

    Returns:
        uint8 (V, T, crop, crop, 3), V = 3 or 1 times the clips; for "full" (clips, T, H', W', 3).

    Raises:
        ValueError: The frames are not uint8 (N, H, W, 3), or an argument is out of range.
    """
    check_frames(frames)
    check_test_sizes(crops=crops, short_side=short_side, crop=crop)
    resized = resize(frames, *short_side_size(frames.shape[1], frames.shape[2], short_side))
    if crops == "full":
        cuts = [resized]
    else:
        corners = _corners(resized.shape[1] - crop, resized.shape[2] - crop, crops)
        cuts = [resized[:, top : top + crop, left : left + crop] for top, left in corners]
    rows = torch.tensor([range(len(frames))] if clips is None else clips)
    views = resized.new_empty((len(rows), len(cuts), rows.shape[1], *cuts[0].shape[1:]))
    for clip, of_frames in enumerate(rows):
        for place, cut in enumerate(cuts):  # straight to its place: a video's 30 views are 190 MB
            torch.index_select(cut, 0, of_frames, out=views[clip, place])
    return views.flatten(0, 1)


def _corners(space_y: int, space_x: int, crops: Crops) -> list[tuple[int, int]]:
    """(top, left) of each square, from the pixels that are left over in height and width.

    |aaaa|      |      three squares along the longer side; centred across the shorter one
    |   |bbbb|  |
    |      |cccc|
    """
    if crops == "centre":
        return [(space_y // 2, space_x // 2)]
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
