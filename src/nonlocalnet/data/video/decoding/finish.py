"""What happens to the upright RGB frames of a read before the next ones are fetched."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch

from nonlocalnet.data.pixels.crops import CropBox
from nonlocalnet.data.pixels.resize import Scaling, resize, short_side_size


class Crop(Protocol):
    """What is cut from every frame: `CropBox` or `ScaledCrop`."""

    def region(self, frames: torch.Tensor, /) -> torch.Tensor:
        """The pixels that are needed of uint8 (T, H, W, 3)."""
        ...

    def finish(self, frames: torch.Tensor, /) -> torch.Tensor:
        """What remains to be done with those, to uint8 (T, crop, crop, 3)."""
        ...


# Draws the crop from the (height, width) of the first frame.
CropChoice: TypeAlias = Callable[[int, int], Crop]


class Finish:
    """Brings the frames of one read to one size: the first frame's, its short side at a length, or a crop of it.

    Args:
        short_side: Pixels of the shorter side after bilinear resizing; None keeps the size.
        crop: Draws what is cut from every frame; None keeps the whole.
        scaling: How the short side comes about.

    Attributes:
        box: The part of each frame that the crop needs, drawn by `begin`; None before, and where it needs all.

    Raises:
        ValueError: Both are given.
    """

    def __init__(self, *, short_side: int | None, crop: CropChoice | None, scaling: Scaling = "antialiased") -> None:
        if short_side is not None and crop is not None:
            raise ValueError("give short_side or crop, not both: a crop says itself what size it is resized to")
        self._short_side = short_side
        self._draw = crop
        self._scaling: Scaling = scaling
        self._crop: Crop | None = None
        self._size: tuple[int, int] | None = None
        self.box: CropBox | None = None

    def begin(self, height: int, width: int) -> tuple[int, int]:
        """Fix size and box by the first frame's size, at the first call. Returns the first frame's size."""
        if self._size is None:
            self._size = height, width
            self._crop = self._draw(height, width) if self._draw is not None else None
            self.box = self._crop if isinstance(self._crop, CropBox) else None
        return self._size

    def region(self, frame_1HWC: torch.Tensor) -> torch.Tensor:
        """The pixels of a frame that are needed, in the first frame's scale."""
        # Some streams change size midway; the first wanted frame decides.
        frame_1HWC = resize(frame_1HWC, *self.begin(frame_1HWC.shape[1], frame_1HWC.shape[2]))
        return frame_1HWC if self._crop is None else self._crop.region(frame_1HWC)

    def __call__(self, regions_THWC: torch.Tensor) -> torch.Tensor:
        """Regions of any number of frames, uint8 (T, h, w, 3), at the size that was asked for."""
        if self._crop is not None:
            return self._crop.finish(regions_THWC)
        if self._short_side is None:
            return regions_THWC
        height, width = regions_THWC.shape[1:3]
        size = short_side_size(height, width, self._short_side, scaling=self._scaling)
        return resize(regions_THWC, *size, scaling=self._scaling)
