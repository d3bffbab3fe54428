"""Windows of a long video: which frames each has, and which clips are cut from it; index arithmetic alone.

A window of W seconds starts every S seconds, as long as it fits; where the end of the video is in none, one more window
ends with it. A window's frames are those shown in it, and its clips are spread evenly over them, as
`windows.evenly_spaced_clips` spreads those of a whole video:

    10 s, W = 4, S = 2      |....|            0 - 4
                              |....|          2 - 6
                                |....|        4 - 8
                                  |....|      6 - 10
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nonlocalnet.data.clips.windows import ClipGeometry, evenly_spaced_clips

_MOST_WINDOWS = 2_000_000  # a window a second for three weeks: more come from damaged time stamps
_LEAST_STEP = 1e-3  # seconds; below, most windows are the one before again, and a second holds millions
_CLOSE = 1e-6  # seconds; time stamps are sums of rounded numbers


class Section(NamedTuple):
    """A window.

    Attributes:
        start: Seconds from the first frame.
        end: Seconds.
        clips: Frame indices of each clip.
    """

    start: float
    end: float
    clips: list[list[int]]


class Sections:
    """The windows of one video, in order.

    Args:
        seconds: When each frame is shown, ascending (N,).
        duration: Of the video in seconds.
        window: Seconds of a window; a shorter video is one window.
        step: Seconds from the start of one to that of the next.
        clip: Frames and stride of a clip.
        num_clips: Clips of each window; None for as many as leave no frame between them: ceil(frames / span).

    Raises:
        ValueError: A window that is not above 0, a step below a thousandth of a second, a window shorter than a clip at
            the video's usual rate, a video whose duration is not known, or too many windows.
    """

    def __init__(
        self,
        seconds: npt.NDArray[np.float64],
        *,
        duration: float,
        window: float,
        step: float,
        clip: ClipGeometry,
        num_clips: int | None,
    ) -> None:
        check_sections(window=window, step=step)
        if not 0 < duration < math.inf:
            raise ValueError("its frames have no times, so windows of seconds cannot be cut from it")
        self._seconds = seconds
        self._clip = clip
        self._num_clips = num_clips
        self._window = min(window, duration)
        _check_clip_fits(seconds, duration=duration, window=window, clip=clip)
        fitting = math.floor((duration - self._window + _CLOSE) / step) + 1
        if fitting > _MOST_WINDOWS:
            raise ValueError(
                f"{duration:g} seconds hold {fitting} windows, more than {_MOST_WINDOWS}: make step (--step) larger, "
                "or its time stamps are damaged"
            )
        covered = (fitting - 1) * step + self._window
        self._starts = [k * step for k in range(fitting)]
        if seconds[-1] >= covered - _CLOSE and duration > covered + _CLOSE:
            self._starts.append(duration - self._window)

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Section]:
        for start in self._starts:
            first = int(np.searchsorted(self._seconds, start - _CLOSE))
            stop = int(np.searchsorted(self._seconds, start + self._window - _CLOSE))
            if first >= stop:  # nothing new is shown in it: the frame that still is
                first, stop = max(first - 1, 0), max(first, 1)
            count = stop - first
            num_clips = self._num_clips or max(1, math.ceil(count / self._clip.span))
            clips = evenly_spaced_clips(count, self._clip, num_clips=num_clips)
            yield Section(start, start + self._window, [[first + frame for frame in clip] for clip in clips])

    def needed(self) -> npt.NDArray[np.int64]:
        """The frames of all clips, ascending."""
        marked = np.zeros(len(self._seconds), bool)
        for section in self:
            for clip in section.clips:
                marked[clip] = True
        return np.flatnonzero(marked).astype(np.int64)


def check_sections(*, window: float, step: float) -> None:
    """Raise ValueError unless both are numbers of seconds above 0, and the step is a thousandth at least."""
    for name, value in (("window", window), ("step", step)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} (--{name}) must be a number of seconds above 0, got {value!r}")
    if step < _LEAST_STEP:
        raise ValueError(f"step (--step) must be at least {_LEAST_STEP:g} seconds, got {step!r}")


def _check_clip_fits(seconds: npt.NDArray[np.float64], *, duration: float, window: float, clip: ClipGeometry) -> None:
    # The usual rate: screen recordings show nothing new for minutes. A video shorter than the window loops, as short
    # videos do everywhere.
    between = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.0
    rate = 1 / between if between > 0 else len(seconds) / duration
    frames = round(window * rate)
    if duration > window and frames < clip.span:
        least = math.ceil(clip.span / rate * 100 - 0.01) / 100
        raise ValueError(
            f"window (--window) must be at least {least:g} seconds here: a clip of {clip.frames}x{clip.stride} takes "
            f"{clip.span} frames at {rate:.3g} a second; got {window:g}; or give a shorter clip (--clip)"
        )
