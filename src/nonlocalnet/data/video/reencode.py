"""One video as a smaller H.264 file of the same frames at the same times."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from nonlocalnet.data.pixels.resize import short_side_size
from nonlocalnet.data.video.decoding.codec import decoder_of
from nonlocalnet.data.video.decoding.orientation import AS_STORED, Orientation, orientation_of
from nonlocalnet.data.video.decoding.planes import plane_views
from nonlocalnet.data.video.errors import VideoError, reason_of, unreadable_where_it_fails
from nonlocalnet.data.video.frame_index import FrameIndex, frame_index, open_video
from nonlocalnet.data.video.local_file import local_url


@dataclass(frozen=True)
class EncodeSettings:
    """How videos are written.

    Attributes:
        short_side: Pixels of the shorter side; smaller videos keep their size. Even, at least 16.
        keyframe_every: Frames from one keyframe to the next at most; 0 for the encoder's own choice, 250.
        crf: The encoder's constant rate factor, 0 (lossless) to 51; lower is better and larger.
        preset: The encoder's preset, from "ultrafast" (large files) to "veryslow".

    Raises:
        ValueError: A number is out of range.
    """

    short_side: int = 256
    keyframe_every: int = 30
    crf: int = 23
    preset: str = "medium"

    def __post_init__(self) -> None:
        if self.short_side < 16 or self.short_side % 2:
            raise ValueError(f"short_side must be even and at least 16, got {self.short_side}")
        if self.keyframe_every < 0:
            raise ValueError(f"keyframe_every must be at least 0, got {self.keyframe_every}")
        if not 0 <= self.crf <= 51:
            raise ValueError(f"crf must be from 0 to 51, got {self.crf}")
        presets = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
        if self.preset not in presets:
            raise ValueError(f"preset must be one of {', '.join(presets)}, got {self.preset!r}")


def reencode(source: Path, target: Path, *, settings: EncodeSettings) -> None:
    """Write every frame of a video, upright, at its own time; no sound.

    Args:
        source: The video.
        target: The file to write, an mp4.
        settings: Size and quality.

    Raises:
        FileNotFoundError: There is no such file.
        VideoError: The video is not readable from its first frame to its last.
        OSError: The target cannot be written.
    """
    opened = open_video(source)
    with opened[0] as container:
        index = frame_index(source, opened=opened)
    container, stream = open_video(source, follow_edits=index.follows_edits)
    with container:
        frames = _every_frame(source, container, stream, index)
        try:
            written = _encode(source, frames, target, rate=_rate(stream), settings=settings)
        except FFmpegError as error:  # not of decoding: those are VideoErrors
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, str(target)) from error
            raise VideoError(f"{source}: cannot be written as H.264: {reason_of(error)}") from error
    if written != frame_index(target).num_frames:
        raise OSError(f"{target}: {frame_index(target).num_frames} of {written} frames came to the disk")


def decode_all(path: Path) -> int:
    """Decode a video from its first frame to its last; returns how many there are.

    Raises:
        FileNotFoundError: There is no such file.
        VideoError: The video is not readable from its first frame to its last.
    """
    index = frame_index(path)
    container, stream = open_video(path, follow_edits=index.follows_edits)
    with container:
        return sum(1 for _ in _every_frame(path, container, stream, index))


def _every_frame(
    path: Path, container: av.container.InputContainer, stream: VideoStream, index: FrameIndex
) -> Iterator[av.VideoFrame]:
    """The frames as they are stored, their times counted from 0.

    Raises:
        VideoError: One is broken or missing.
    """
    count = 0
    decoder = decoder_of(stream, turned=index.turned)
    decoding = (frame for packet in container.demux(stream) for frame in decoder.decode(packet))
    while True:
        try:
            frame = next(decoding, None)
        except Exception as error:
            raise VideoError(f"{path}: broken after {count} frames: {reason_of(error)}") from error
        if frame is None:
            break
        if frame.is_corrupt:
            raise VideoError(f"{path}: broken: frame {count} of {index.num_frames} is damaged")
        if index.by_pts and frame.pts is not None:
            frame.pts, frame.time_base = frame.pts - int(index.pts[0]), stream.time_base
        else:
            frame.pts, frame.time_base = count, 1 / _rate(stream)
        count += 1
        yield frame
    if count != index.num_frames:
        raise VideoError(f"{path}: broken: got {count} of {index.num_frames} frames")


def _encode(
    source: Path, frames: Iterator[av.VideoFrame], target: Path, *, rate: Fraction, settings: EncodeSettings
) -> int:
    """Returns the number of frames written."""
    first = next(frames)
    shown = orientation_of(first).shown_size(*_size(first.height, first.width, settings.short_side))
    reformatter = VideoReformatter()
    with av.open(local_url(target), "w", format="mp4", options={"movflags": "faststart"}) as container:
        # One thread: the videos themselves run in parallel.
        options = {"crf": str(settings.crf), "preset": settings.preset, "threads": "1"}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width = shown
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = first.time_base
        stream.codec_context.colorspace, stream.codec_context.color_range = first.colorspace, ColorRange.MPEG
        if settings.keyframe_every:
            stream.gop_size = settings.keyframe_every
        count = 0
        for frame in itertools.chain((first,), frames):
            orientation = orientation_of(frame)
            height, width = orientation.shown_size(*shown)
            with unreadable_where_it_fails(source, f"frame {count} cannot be converted"):
                small = reformatter.reformat(
                    frame,
                    width,
                    height,
                    "yuv420p",
                    interpolation=Interpolation.BICUBIC,
                    src_color_range=frame.color_range,
                    dst_color_range=ColorRange.MPEG,
                    threads=1,
                )
            upright = _upright(small, orientation)
            upright.pts, upright.time_base = frame.pts, frame.time_base
            container.mux(stream.encode(upright))
            count += 1
        container.mux(stream.encode())
    return count


def _upright(frame: av.VideoFrame, orientation: Orientation) -> av.VideoFrame:
    """A yuv420p frame as it is shown, plane by plane: no value changes."""
    if orientation == AS_STORED:
        return frame
    height, width = orientation.shown_size(frame.height, frame.width)
    turned = av.VideoFrame(width, height, "yuv420p")
    turned.colorspace, turned.color_range = frame.colorspace, frame.color_range
    for source, target in zip(plane_views(frame), plane_views(turned), strict=True):
        target[:] = orientation.upright_plane(source)
    return turned


def _size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Rescaled, but never enlarged, with even sides as H.264 4:2:0 needs them."""
    if min(height, width) > short_side:
        height, width = short_side_size(height, width, short_side)
    return max(2, 2 * round(height / 2)), max(2, 2 * round(width / 2))


def _rate(stream: VideoStream) -> Fraction:
    return stream.average_rate or stream.guessed_rate or Fraction(25)
