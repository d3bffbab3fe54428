"""What happens to the upright RGB frames of a read before the next ones are fetched."""

from collections.abc import Callable
from typing import TypeAlias

import torch

from nonlocalnet.data.pixels.crops import CropBox
from nonlocalnet.data.pixels.resize import resize, short_side_size

# Draws the crop from the (height, width) of the first frame.
CropChoice: TypeAlias = Callable[[int, int], CropBox]


class Finish:
    """Brings the frames of one read to one size: the first frame's, its short side at a length, or a crop of it.

    Args:
        short_side: Pixels of the shorter side after antialiased bilinear resizing; None keeps the size.
        crop: Draws the box that is cut from every frame; None keeps the whole.

    Attributes:
        box: The box, drawn by `begin`; None before, and where there is none.

    Raises:
        ValueError: Both are given.
    """

    def __init__(self, *, short_side: int | None, crop: CropChoice | None) -> None:
        if short_side is not None and crop is not None:
            raise ValueError("give short_side or crop, not both: a crop says itself what size it is resized to")
        self._short_side = short_side
        self._crop = crop
        self._size: tuple[int, int] | None = None
        self.box: CropBox | None = None

    def begin(self, height: int, width: int) -> tuple[int, int]:
        """Fix size and box by the first frame's size, at the first call. Returns the first frame's size."""
        if self._size is None:
            self._size = height, width
            self.box = self._crop(height, width) if self._crop is not None else None
        return self._size

    def region(self, frame_1HWC: torch.Tensor) -> torch.Tensor:
        """The pixels of a frame that are needed, in the first frame's scale."""
        # Some streams change size midway; the first wanted frame decides.
        frame_1HWC = resize(frame_1HWC, *self.begin(frame_1HWC.shape[1], frame_1HWC.shape[2]))
        return frame_1HWC if self.box is None else self.box.region(frame_1HWC)

    def __call__(self, regions_THWC: torch.Tensor) -> torch.Tensor:
        """Regions of any number of frames, uint8 (T, h, w, 3), at the size that was asked for."""
        if self.box is not None:
            return self.box.finish(regions_THWC)
        if self._short_side is None:
            return regions_THWC
        return resize(regions_THWC, *short_side_size(regions_THWC.shape[1], regions_THWC.shape[2], self._short_side))
