"""Clips of bytes to crops of bytes, and at the very end to the network's floats.

Everything before `normalise` works on uint8 (T, H, W, 3), 8 to 10 times faster than on floats.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch

from nonlocalnet.data.clips.resize import resize, short_side_size

Crops = Literal["three", "centre", "full"]


class CropBox(NamedTuple):
    """What a training crop takes from frames of one size.

    Attributes:
        top: First row, in source pixels.
        left: First column.
        height: Rows.
        width: Columns.
        crop: Side of the square that the box is resized to.
        mirrored: Whether left and right change places.
    """

    top: int
    left: int
    height: int
    width: int
    crop: int
    mirrored: bool

    def cut(self, frames: torch.Tensor) -> torch.Tensor:
        """uint8 (T, H, W, 3) to (T, crop, crop, 3): cut first, and only the cut is resized (antialiased bilinear)."""
        return self.finish(self.region(frames))

    def region(self, frames: torch.Tensor) -> torch.Tensor:
        """The box's own pixels, a view (T, height, width, 3) of (T, H, W, 3)."""
        return frames[:, self.top : self.top + self.height, self.left : self.left + self.width]

    def finish(self, cut: torch.Tensor) -> torch.Tensor:
        """What remains to be done with the box's own pixels, uint8 (T, height, width, 3) to (T, crop, crop, 3)."""
        resized = resize(cut, self.crop, self.crop)
        return (resized.flip(2) if self.mirrored else resized).contiguous()


def draw_crop(
    height: int,
    width: int,
    *,
    short_side: tuple[int, int] = (256, 320),
    crop: int = 224,
    flip: float = 0.5,
    generator: torch.Generator,
) -> CropBox:
    """Draw the training augmentation of one clip: random length of the short side, random square crop, random flip.

    The box is the one that the crop of the resized frame would have had, to the nearest source pixel. The draws, in
    this order: short side, top, left, flip.

    Args:
        height: Pixels of the source.
        width: Pixels of the source.
        short_side: Range (min, max) of the short side in pixels, both included, drawn uniformly; the paper's 256 to
            320.
        crop: Side of the crop in pixels, at most short_side[0]; the paper's 224.
        flip: Probability of mirroring left and right.
        generator: Source of every random draw.

    Raises:
        ValueError: A size is out of range.
    """
    check_training_sizes(short_side=short_side, crop=crop, flip=flip)
    drawn = int(torch.randint(short_side[0], short_side[1] + 1, (), generator=generator))
    boxes = []
    for side, resized_side in zip((height, width), short_side_size(height, width, drawn), strict=True):
        start = int(torch.randint(resized_side - crop + 1, (), generator=generator))
        source_length = min(max(round(crop * side / resized_side), 1), side)
        boxes.append((min(round(start * side / resized_side), side - source_length), source_length))
    (top, box_height), (left, box_width) = boxes
    mirrored = bool(torch.rand((), generator=generator) < flip)
    return CropBox(top, left, box_height, box_width, crop, mirrored)


def random_crop(
    frames: torch.Tensor,
    *,
    short_side: tuple[int, int] = (256, 320),
    crop: int = 224,
    flip: float = 0.5,
    generator: torch.Generator,
) -> torch.Tensor:
    """The training augmentation on a clip, the same in every frame (see `draw_crop`).

    Args:
        frames: uint8 (T, H, W, 3).
        short_side: As for `draw_crop`.
        crop: As for `draw_crop`.
        flip: As for `draw_crop`.
        generator: Source of every random draw.

    Returns:
        uint8 (T, crop, crop, 3).

    Raises:
        ValueError: The frames are not uint8 (T, H, W, 3), or a size is out of range.
    """
    _check_frames(frames)
    height, width = frames.shape[1:3]
    return draw_crop(height, width, short_side=short_side, crop=crop, flip=flip, generator=generator).cut(frames)


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
    _check_frames(frames)
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


def normalise(
    batch: torch.Tensor,
    *,
    mean: float | Sequence[float] = 114.75,
    std: float | Sequence[float] = 57.375,
    bgr: bool = False,
) -> torch.Tensor:
    """Bytes to the network's input: (x - mean) / std, and B,T,H,W,C to B,C,T,H,W.

    Args:
        batch: uint8 (B, T, H, W, 3).
        mean: On the scale 0..255, one value or one a channel; the paper's code has 114.75.
        std: As `mean`; the paper's code has 57.375.
        bgr: Whether the network takes blue, green, red, of which `mean` and `std` then are; the batch is RGB always.

    Returns:
        float32 (B, 3, T, H, W) on the batch's device, in channels-last memory order (no copy is made for the
        transpose).

    Raises:
        ValueError: The batch is not uint8 (B, T, H, W, 3): floats could hold NaN, and would be scaled twice.
    """
    if batch.dtype != torch.uint8:
        raise ValueError(f"batch must be uint8 frames of 0..255, got {batch.dtype}; normalise converts and scales them")
    if batch.ndim != 5 or batch.shape[-1] != 3:
        raise ValueError(f"batch must have shape (B, T, H, W, 3), got {tuple(batch.shape)}")
    mean_C = torch.as_tensor(mean, dtype=torch.float32, device=batch.device)
    std_C = torch.as_tensor(std, dtype=torch.float32, device=batch.device)
    if bgr:
        batch = batch.flip(-1)
    return batch.float().sub_(mean_C).div_(std_C).permute(0, 4, 1, 2, 3)


def check_training_sizes(*, short_side: tuple[int, int], crop: int, flip: float) -> None:
    """Raise ValueError, naming the field, unless 1 <= crop <= short_side[0] <= short_side[1] and 0 <= flip <= 1."""
    low, high = short_side
    if not low <= high:
        raise ValueError(f"short_side must be (min, max) with min <= max, got {tuple(short_side)}")
    if not 1 <= crop <= low:
        raise ValueError(f"crop must be from 1 to the smallest short_side ({low}), got {crop}")
    if not 0 <= flip <= 1:
        raise ValueError(f"flip must be a probability from 0 to 1, got {flip}")


def check_test_sizes(*, crops: str, short_side: int, crop: int) -> None:
    """Raise ValueError, naming the field, unless the test views can be cut."""
    if crops not in get_args(Crops):
        raise ValueError(f"crops must be one of {', '.join(get_args(Crops))}, got {crops!r}")
    if short_side < 1:
        raise ValueError(f"short_side must be at least 1, got {short_side}")
    if crops != "full" and not 1 <= crop <= short_side:
        raise ValueError(f"crop must be from 1 to short_side ({short_side}), got {crop}")


def _check_frames(frames: torch.Tensor) -> None:
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be uint8 of shape (T, H, W, 3), got {frames.dtype} {tuple(frames.shape)}")
