"""Whether the frames of an mp4 or mov file are shown in the order of their time stamps.

The decoder knows the order of the frames without them, and FFmpeg does not compare. Where one time stamp is
overwritten, two frames change places without a word.
"""

from collections.abc import Iterable

import av.video.stream
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError

# A frame is shown at most this many frames after one that refers to it (H.264 and HEVC).
_MAX_REORDERED = 16


def order_is_certain(times: Iterable[tuple[int | None, int | None]], *, reordered: bool) -> bool:
    """Whether the times at which frames are shown are those at which they are decoded, only in another order.

    Encoders make the one from the other: with D frames held back, frame i is decoded when frame i - D is shown.

        shown    0   10  20  40  50      sorted
        decoded      0   10  20  40  50  the same after D = 1

    A changed time stamp is in one list and not in the other. Where a file is cut without decoding it, the frames at the
    end that others would have referred to are missing, so that False means only: not certain.

    Args:
        times: (pts, dts) of each frame, in the order of decoding.
        reordered: Whether the decoder expects frames in another order than they are shown in. Then times that are in
            one order are those of a file that has lost the table of the other.
    """
    pairs = list(times)
    if any(pts is None or dts is None for pts, dts in pairs):
        return False
    shown = np.sort(np.array([pts for pts, _ in pairs], np.int64))
    decoded = np.array([dts for _, dts in pairs], np.int64)
    if reordered and bool((np.diff(np.array([pts for pts, _ in pairs], np.int64)) > 0).all()):
        return False
    steps = np.diff(decoded)
    if len(pairs) < 3 or np.ptp(steps) <= 1:  # evenly, but for rounding
        return bool(np.ptp(decoded - shown) <= 1)
    for held in range(min(_MAX_REORDERED, len(pairs) - 2) + 1):
        later = decoded[held:]
        if np.ptp(later - shown[: len(later)]) <= 1:
            # Those that are shown last have no time of decoding beside them.
            last = np.diff(shown[len(later) - 1 :])
            return bool(((last >= steps.min()) & (last <= steps.max())).all())
    return False


def first_out_of_order(container: InputContainer, stream: av.video.stream.VideoStream) -> int | None:
    """Decode all frames until damage; the number of the first whose time is not after the one before, or None."""
    before = None
    try:
        for number, frame in enumerate(container.decode(stream)):
            if frame.pts is None:
                continue
            if before is not None and frame.pts <= before:
                return number
            before = frame.pts
    except FFmpegError:  # a broken packet; the frames before it are in order
        pass
    return None
