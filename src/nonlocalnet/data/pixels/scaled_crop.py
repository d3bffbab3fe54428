"""The training crop as the authors' released code ([C2]) cuts it: the whole frame is resized, and cut after."""

from typing import NamedTuple

import torch

from nonlocalnet.data.pixels.crops import check_training_sizes
from nonlocalnet.data.pixels.resize import resize, short_side_size


class ScaledCrop(NamedTuple):
    """What a training crop takes from frames of one size, once they are resized.

    Attributes:
        height: Rows of the resized frame.
        width: Columns.
        top: First row of the crop, in pixels of the resized frame.
        left: First column.
        crop: Side of the square.
        mirrored: Whether left and right change places.
    """

    height: int
    width: int
    top: int
    left: int
    crop: int
    mirrored: bool

    def region(self, frames: torch.Tensor) -> torch.Tensor:
        """The pixels that are needed of (T, H, W, 3): all."""
        return frames

    def finish(self, frames: torch.Tensor) -> torch.Tensor:
        """The crop of whole frames, uint8 (T, H, W, 3) to (T, crop, crop, 3)."""
        resized = resize(frames, self.height, self.width, scaling="release")
        cut = resized[:, self.top : self.top + self.crop, self.left : self.left + self.crop]
        return (cut.flip(2) if self.mirrored else cut).contiguous()


def draw_scaled_crop(
    height: int,
    width: int,
    *,
    short_side: tuple[int, int] = (256, 320),
    crop: int = 224,
    flip: float = 0.5,
    generator: torch.Generator,
) -> ScaledCrop:
    """Draw the training augmentation of one clip; arguments, draws and errors as `crops.draw_crop`.

    Source: ScaleTransform and ClipTransformFlex in customized_video_io.cc of the released code.
    """
    check_training_sizes(short_side=short_side, crop=crop, flip=flip)
    drawn = int(torch.randint(short_side[0], short_side[1] + 1, (), generator=generator))
    resized = short_side_size(height, width, drawn, scaling="release")
    top, left = (int(torch.randint(side - crop + 1, (), generator=generator)) for side in resized)
    return ScaledCrop(*resized, top, left, crop, bool(torch.rand((), generator=generator) < flip))
