"""What happens to each upright RGB frame of a read before the next is fetched."""

from collections.abc import Callable
from typing import TypeAlias

import torch

from nonlocalnet.data._resize import resize, short_side_size
from nonlocalnet.data.transforms import CropBox

# Draws the crop from the (height, width) of the first frame.
CropChoice: TypeAlias = Callable[[int, int], CropBox]


class Finish:
    """Brings the frames of one read to one size: the first frame's, its short side at a length, or a crop of it.

    Args:
        short_side: Pixels of the shorter side after antialiased bilinear resizing; None keeps the size.
        crop: Draws the box that is cut from every frame; None keeps the whole.

    Attributes:
        size: (height, width) of the first frame, after `begin`.
        box: The box drawn for it.

    Raises:
        ValueError: Both are given.
    """

    def __init__(self, *, short_side: int | None, crop: CropChoice | None) -> None:
        if short_side is not None and crop is not None:
            raise ValueError("give short_side or crop, not both: a crop says itself what size it is resized to")
        self._short_side = short_side
        self._crop = crop
        self.size: tuple[int, int] | None = None
        self.box: CropBox | None = None

    def begin(self, height: int, width: int) -> tuple[int, int]:
        """Fix size and box by the first frame's size; later calls change nothing. Returns the first frame's size."""
        if self.size is None:
            self.size = height, width
            self.box = self._crop(height, width) if self._crop is not None else None
        return self.size

    def __call__(self, frame_1HWC: torch.Tensor) -> torch.Tensor:
        """uint8 (1, H, W, 3) to (1, H', W', 3)."""
        # Some streams change size midway; the first wanted frame decides.
        size = self.begin(frame_1HWC.shape[1], frame_1HWC.shape[2])
        frame_1HWC = resize(frame_1HWC, *size)
        if self._short_side is not None:
            frame_1HWC = resize(frame_1HWC, *short_side_size(*size, self._short_side))
        return frame_1HWC if self.box is None else self.box.cut(frame_1HWC)
