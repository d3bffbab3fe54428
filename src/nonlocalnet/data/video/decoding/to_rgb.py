"""A decoded frame as upright RGB bytes."""

from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter

from nonlocalnet.data.pixels.crops import CropBox
from nonlocalnet.data.video.decoding.finish import Finish
from nonlocalnet.data.video.decoding.orientation import AS_STORED, orientation_of
from nonlocalnet.data.video.decoding.planes import plane_views
from nonlocalnet.data.video.errors import unreadable_where_it_fails

# Each 2 x 2 block of pixels has one pair of colour values, which FFmpeg's conversion of frames of even height takes as
# it is: a crop from an even corner converts to the same bytes alone as within the frame. Of odd height it interpolates.
_CROPPED_FIRST = frozenset({"yuv420p", "yuvj420p"})
_PIXELS_SAVED = 1 << 17  # from about here on, copying the crop's bytes costs less than converting the pixels around it


class ToRgb:
    """Converts the frames of one read.

    Args:
        path: The video, for errors.
        finish: What is done with the frames afterwards. Of a crop only its own pixels are converted, where that is
            exact and faster.
    """

    def __init__(self, path: Path, finish: Finish) -> None:
        self._path = path
        self._finish = finish
        self._reformatter = VideoReformatter()  # keeps its scaling context from frame to frame: 2x faster than one each
        self._cropped: av.VideoFrame | None = None

    def __call__(self, frame: av.VideoFrame) -> torch.Tensor:
        """The pixels that `finish` needs, uint8 (1, h, w, 3).

        Raises:
            VideoError: The frame is of a pixel format that FFmpeg cannot convert.
        """
        orientation = orientation_of(frame)
        if orientation == AS_STORED and not frame.height % 2 and frame.format.name in _CROPPED_FIRST:
            size, box = self._finish.begin(frame.height, frame.width), self._finish.box
            saved = frame.height * frame.width - box.height * box.width if box is not None else 0
            if box is not None and size == (frame.height, frame.width) and saved > _PIXELS_SAVED:
                return self._convert_box(frame, box)
        return self._finish.region(orientation.upright(self._convert(frame)))

    def _convert(self, frame: av.VideoFrame) -> torch.Tensor:
        # Not more than one thread: starting threads for every frame costs more than the conversion.
        with unreadable_where_it_fails(self._path, "a frame cannot be converted to RGB"):
            rgb = self._reformatter.reformat(frame, format="rgb24", threads=1)
        # Its bytes as they lie, padding at the ends of rows left out: `to_ndarray` copies most sizes.
        plane = rgb.planes[0]
        flat = torch.from_numpy(np.frombuffer(memoryview(plane), np.uint8))
        return flat.as_strided((1, rgb.height, rgb.width, 3), (flat.numel(), plane.line_size, 3, 1))

    def _convert_box(self, frame: av.VideoFrame, box: CropBox) -> torch.Tensor:
        """The box's pixels, converted with at most one row and column on each side of them."""
        top, left = box.top & ~1, box.left & ~1
        bottom = box.top + box.height + 1 & ~1  # the frame's height is even
        right = min(box.left + box.width + 1 & ~1, frame.width)
        if self._cropped is None:
            self._cropped = av.VideoFrame(right - left, bottom - top, frame.format.name)
        self._cropped.colorspace, self._cropped.color_range = frame.colorspace, frame.color_range
        for plane, (source, target) in enumerate(zip(plane_views(frame), plane_views(self._cropped), strict=True)):
            shift = min(plane, 1)  # colour planes have half the size
            rows, columns = target.shape
            target[:] = source[top >> shift :, left >> shift :][:rows, :columns]
        across, down = box.left - left, box.top - top
        return self._convert(self._cropped)[:, down : down + box.height, across : across + box.width]
