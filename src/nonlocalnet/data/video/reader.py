"""Reading frames from video files, by PyAV.

Every frame returned equals, value for value, the frame of the same index in a decode from the first to the last;
`exact_frames` says how, and what happens with damaged files. Only wanted frames are converted to RGB and resized, one
by one, and of a crop only the crop.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from typing_extensions import Self

from nonlocalnet.data.pixels.resize import Scaling
from nonlocalnet.data.video.decoding.exact_frames import decoded
from nonlocalnet.data.video.decoding.finish import CropChoice, Finish
from nonlocalnet.data.video.decoding.gather import distinct, gather
from nonlocalnet.data.video.decoding.to_rgb import ToRgb
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.data.video.frame_index import FrameIndex, frame_index, open_video

__all__ = ["VideoError", "VideoInfo", "VideoReader", "count_frames", "probe", "read_frames"]


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds.

    Attributes:
        path: The file.
        num_frames: Frames that a decode shows.
        fps: Mean frames per second, num_frames / duration_seconds; 0.0 where the duration is unknown.
        duration_seconds: From the first frame's start to the last frame's end; 0.0 where the file does not say.
        height: Pixels, as shown.
        width: Pixels, as shown.
        codec: FFmpeg's name of the codec, such as "h264".
    """

    path: Path
    num_frames: int
    fps: float
    duration_seconds: float
    height: int
    width: int
    codec: str


class VideoReader:
    """A video file, opened and scanned once (about 1 ms for 300 frames) to be read any number of times.

    Close it, or use it in a `with` statement.

    Args:
        path: The video file. Of several video streams the one that FFmpeg ranks best is read.

    Attributes:
        path: The file.
        index: Which frames it holds, and when each is shown.

    Raises:
        FileNotFoundError: There is no such file.
        VideoError: The file is not a readable, complete video.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._container, self._stream = open_video(self.path)
        try:
            self.index: FrameIndex = frame_index(self.path, opened=(self._container, self._stream))
            if not self.index.follows_edits:
                self.close()
                self._container, self._stream = open_video(self.path, follow_edits=False)
        except BaseException:
            self.close()
            raise

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec, such as "h264"."""
        return self._stream.codec_context.codec.canonical_name

    def read(
        self,
        frame_indices: Sequence[int],
        *,
        short_side: int | None = None,
        crop: CropChoice | None = None,
        scaling: Scaling = "antialiased",
    ) -> torch.Tensor:
        """Read frames; see `read_frames`."""
        wanted = distinct(frame_indices, self.index.num_frames, of=self.path)
        finish = Finish(short_side=short_side, crop=crop, scaling=scaling)
        to_rgb = ToRgb(self.path, finish)
        frames = decoded(self.path, self._container, self._stream, self.index, wanted)
        return gather(((number, to_rgb(frame)) for number, frame in frames), frame_indices, finish)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def count_frames(path: str | os.PathLike[str]) -> int:
    """Number of frames of a video, from its packets alone (about 1 ms for 300 frames).

    Raises:
        FileNotFoundError: There is no such file.
        VideoError: The file is not a readable, complete video.
    """
    return frame_index(Path(path)).num_frames


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Scan a video and decode its first frame.

    Raises:
        FileNotFoundError: There is no such file.
        VideoError: The file is not a readable, complete video.
    """
    with VideoReader(path) as reader:
        _, height, width, _ = reader.read([0]).shape
        num_frames, seconds = reader.index.num_frames, reader.index.duration_seconds
        fps = num_frames / seconds if seconds else 0.0
        return VideoInfo(reader.path, num_frames, fps, seconds, height, width, reader.codec)


def read_frames(
    path: str | os.PathLike[str],
    frame_indices: Sequence[int],
    *,
    short_side: int | None = None,
    crop: CropChoice | None = None,
    scaling: Scaling = "antialiased",
) -> torch.Tensor:
    """Read the given frames of a video.

    Each frame is decoded once, however often and in whatever order it is asked for. Frames are upright: the file's
    display matrix is applied, mirroring included. Pixels are taken as square.

    Args:
        path: The video file. Of several video streams the one that FFmpeg ranks best is read.
        frame_indices: Indices in [0, number of frames), at least one.
        short_side: Resize each frame so that its shorter side has this many pixels, before the next is decoded: a 720p
            video at 256 takes an eighth of the memory. None keeps the size.
        crop: Called once with the (height, width) of the first frame that is decoded; what it returns is cut from
            every frame. Only a box's pixels are converted to RGB where that gives the same bytes.
        scaling: How `short_side` comes about: see `pixels.resize`.

    Returns:
        uint8 RGB (N, H, W, 3), in the order of `frame_indices`.

    Raises:
        FileNotFoundError: There is no such file.
        VideoError: The file is not a readable, complete video, or a wanted frame cannot be decoded or comes after
            damage. Damage inside a packet is known only where the decoder reports it: those of H.264, MPEG-4, AV1 and
            VP9 nearly always do, that of HEVC often does not, and then wrong pixels are returned.
        ValueError: An index is out of range, or none is given; or both `short_side` and `crop` are.
    """
    with VideoReader(path) as reader:
        return reader.read(frame_indices, short_side=short_side, crop=crop, scaling=scaling)
