"""Frames of a long video one after the other: one decode from the first to the last, in memory that does not grow.

`exact_frames` gives the same frames, and takes back those that later turn out to come after damage; here each is final.
So a frame is held until so many more came out whole that no damage found later can concern it.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import torch

from nonlocalnet.data.video.decoding.codec import decoder_of
from nonlocalnet.data.video.decoding.exact_frames import MAX_REORDERED, decode_packets
from nonlocalnet.data.video.decoding.finish import Finish
from nonlocalnet.data.video.decoding.to_rgb import ToRgb
from nonlocalnet.data.video.errors import VideoError, unreadable_where_it_fails
from nonlocalnet.data.video.frame_index import FrameIndex, open_video


class _Among:
    """The numbers of a sorted array as a container, without a Python object for each."""

    def __init__(self, sorted_numbers: npt.NDArray[np.int64]) -> None:
        self._numbers = sorted_numbers

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.place(number) is not None

    def place(self, number: int) -> int | None:
        """Where it stands; None where it does not."""
        at = int(np.searchsorted(self._numbers, number))
        return at if at < len(self._numbers) and self._numbers[at] == number else None


def frames_in_order(
    path: Path, index: FrameIndex, wanted: npt.NDArray[np.int64], *, finish: Finish
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (frame index, uint8 RGB (H, W, 3)) of every wanted frame.

    Args:
        path: The file.
        index: Its frames.
        wanted: Indices, ascending, each once, at least one.
        finish: What is done with each frame.

    Raises:
        VideoError: A wanted frame cannot be decoded or may come after damage; those before it were given.
    """
    held: deque[tuple[int, int, torch.Tensor]] = deque()  # (frames that came out by then, index, pixels)
    to_rgb = ToRgb(path, finish)
    given, damaged = 0, None
    with unreadable_where_it_fails(path):
        for count, number, frame in _numbered(path, index, wanted):
            while held and held[0][0] <= count - MAX_REORDERED:
                given += 1
                yield held.popleft()[1:]
            if frame is None:  # damaged: what is held may refer to it
                held.clear()
                damaged = number
                break
            expected = given + len(held)
            if number is not None and expected < len(wanted) and number == wanted[expected]:
                held.append((count, number, finish(to_rgb(frame))[0].clone()))
        for entry in held:
            given += 1
            yield entry[1:]
    if given < len(wanted):
        broken = wanted[given] if damaged is None else damaged
        since = "" if broken <= wanted[given] else f", and those from {wanted[given]} on may show its damage"
        raise VideoError(f"{path}: broken: frame {broken} of {index.num_frames} cannot be decoded{since}")


def _numbered(
    path: Path, index: FrameIndex, wanted: npt.NDArray[np.int64]
) -> Iterator[tuple[int, int | None, av.VideoFrame | None]]:
    """(how many came out before, index or None for one that is not shown, frame or None for a damaged one)."""
    container, stream = open_video(path)
    with container:
        decoder = decoder_of(stream, turned=index.turned)
        shown, needed = (_Among(index.pts), _Among(index.pts[wanted])) if index.by_pts else (None, None)
        last = int(wanted[-1])
        for count, frame in enumerate(decode_packets(decoder, container.demux(stream), None, needed)):
            number = count if shown is None else shown.place(frame.pts) if frame.pts is not None else None
            yield count, number, None if frame.is_corrupt else frame
            if frame.is_corrupt:
                return
            if number is not None and number > last + MAX_REORDERED:
                return
