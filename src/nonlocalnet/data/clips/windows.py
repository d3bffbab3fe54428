"""Which frames of a video make a clip: pure index arithmetic.

A clip of L frames at stride S takes every S-th frame of a window; the window's span is (L - 1) * S + 1 frames:

    fxxfxxfxxf    L = 4, S = 3: f is taken, x is left out, span = 10
"""

import re
from typing import Literal, NamedTuple

import torch

Positions = Literal["even", "wrapped"]

# Of a video: a mistyped number would go on for days. The paper takes 10; a timeline is for long videos.
_MOST_CLIPS = 1000
_MOST_DIGITS = 4  # of the frames of a clip


class ClipGeometry(NamedTuple):
    """The shape of a clip in time.

    Attributes:
        frames: Frames L of the clip, at least 1.
        stride: Frames S from one taken frame to the next, at least 1.
    """

    frames: int
    stride: int

    @property
    def span(self) -> int:
        """Frames from the first taken one to the last, both counted."""
        return (self.frames - 1) * self.stride + 1


def parse_clip(text: str) -> ClipGeometry:
    """Read "32x2" as 32 frames at stride 2.

    Raises:
        ValueError: The text has another form, a number is 0, or the frames are more than any network takes.

    >>> parse_clip("32x2")
    ClipGeometry(frames=32, stride=2)
    """
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise ValueError(f"clip must be FRAMESxSTRIDE with both at least 1, such as '32x2', got {text!r}")
    if len(match[1]) > _MOST_DIGITS:
        raise ValueError(f"clip must have at most {10**_MOST_DIGITS - 1} frames, got {text!r}")
    return ClipGeometry(int(match[1]), int(match[2]))


def require_clip_count(num_clips: int, *, name: str = "num_clips") -> None:
    """Refuse numbers of clips that no test takes.

    Args:
        num_clips: Clips of a video, or of a window of one.
        name: What the user gave it as.

    Raises:
        ValueError: Not from 1 to 1000.
    """
    if not 1 <= num_clips <= _MOST_CLIPS:
        raise ValueError(f"{name} must be from 1 to {_MOST_CLIPS} clips of a video, got {num_clips}")


def clip_from(start: int, num_frames: int, geometry: ClipGeometry) -> list[int]:
    """The frame indices of the clip that starts at `start`, looping the video where it is too short.

    Args:
        start: First frame.
        num_frames: Frames N of the video, at least 1.
        geometry: The clip's frames and stride.

    Returns:
        `geometry.frames` indices in [0, N).

    >>> clip_from(0, 5, ClipGeometry(4, 2))  # 01234|01234...: f x f x f | x f
    [0, 2, 4, 1]
    """
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}")
    return [(start + i * geometry.stride) % num_frames for i in range(geometry.frames)]


def random_clip(
    num_frames: int, geometry: ClipGeometry, *, generator: torch.Generator, as_release: bool = False
) -> list[int]:
    """A clip at a random place, for training.

    The start is uniform over all places where the window fits, [0, N - span]. A video shorter than the span is looped
    from its first frame, as the paper's "short videos loop"; a video of one frame gives that frame L times.

        N = 12, L = 4, S = 3, span = 10          fxxfxxfxxf..      .fxxfxxfxxf.      ..fxxfxxfxxf
                                                 start 0           1                 2

    Args:
        num_frames: Frames N of the video, at least 1.
        geometry: The clip's frames and stride.
        generator: Source of the one random draw.
        as_release: Start in [0, N - L S] as [C2] (DecodeClipFromVideoFileFlex): the last S - 1 places are left out.

    Returns:
        `geometry.frames` indices in [0, N).
    """
    needed = geometry.frames * geometry.stride if as_release else geometry.span
    last_start = max(num_frames - needed, 0)
    start = int(torch.randint(last_start + 1, (), generator=generator))
    return clip_from(start, num_frames, geometry)


def evenly_spaced_clips(num_frames: int, geometry: ClipGeometry, *, num_clips: int) -> list[list[int]]:
    """K clips spread evenly over the video, for testing.

    Clip j starts at round(j * (N - span) / (K - 1)), halves rounded down: the first clip begins with the video, the
    last ends with it. One clip is centred, (N - span) // 2. A video shorter than the span gives K times the same looped
    clip.

        N = 16, L = 4, S = 3, span = 10, K = 3   fxxfxxfxxf......  ...fxxfxxfxxf...  ......fxxfxxfxxf
                                                 start 0           3                 6

    Args:
        num_frames: Frames N of the video, at least 1.
        geometry: The clip's frames and stride.
        num_clips: Clips K, at least 1.

    Returns:
        K lists of `geometry.frames` indices in [0, N).

    >>> [clip[0] for clip in evenly_spaced_clips(16, ClipGeometry(4, 3), num_clips=3)]
    [0, 3, 6]
    """
    if num_clips < 1:
        raise ValueError(f"num_clips must be at least 1, got {num_clips}")
    last_start = max(num_frames - geometry.span, 0)
    if num_clips == 1:
        return [clip_from(last_start // 2, num_frames, geometry)]
    gaps = num_clips - 1
    # Rounded in integers: ceil(x / gaps - 1/2) = (2 x + gaps - 1) // (2 gaps).
    starts = [(2 * j * last_start + gaps - 1) // (2 * gaps) for j in range(num_clips)]
    return [clip_from(start, num_frames, geometry) for start in starts]


def wrapped_clips(num_frames: int, geometry: ClipGeometry, *, num_clips: int) -> list[list[int]]:
    """K clips as the authors' released code ([C2]) places them for testing.

    Clip j starts at int(N / K * j), whatever the span, and goes on at the first frame where the video ends: the last
    clips of an ordinary video end with its beginning.

        N = 12, L = 4, S = 3, span = 10, K = 3   fxxfxxfxxf..|       ....fxxfxxfx|xf      ........fxxf|xxfxxf
                                                 start 0             4                    8

    Args:
        num_frames: Frames N of the video, at least 1.
        geometry: The clip's frames and stride.
        num_clips: Clips K, at least 1.

    Returns:
        K lists of `geometry.frames` indices in [0, N).

    >>> wrapped_clips(12, ClipGeometry(4, 3), num_clips=3)
    [[0, 3, 6, 9], [4, 7, 10, 1], [8, 11, 2, 5]]
    """
    if num_clips < 1:
        raise ValueError(f"num_clips must be at least 1, got {num_clips}")
    return [clip_from(j * num_frames // num_clips, num_frames, geometry) for j in range(num_clips)]


def clips_for_testing(
    num_frames: int, geometry: ClipGeometry, *, num_clips: int, positions: Positions
) -> list[list[int]]:
    """K clips by `evenly_spaced_clips` ("even") or `wrapped_clips` ("wrapped")."""
    place = {"even": evenly_spaced_clips, "wrapped": wrapped_clips}[positions]
    return place(num_frames, geometry, num_clips=num_clips)
