"""Where the frames of a listed video come from: a file that is decoded, or a folder of extracted frames.

A clip is a list of frame numbers on the source's own timeline. A file is sampled by time where its entry asks for a
rate: frame k of the timeline is what `ffmpeg -r RATE` would extract as its k-th frame (the newest that is due by
(k + 1/2) / rate), so that clips of Charades mean the same from the mp4 files as from the published frames:

    shown at 30 a second    0  1  2  3  4  5  6  7  8  9
    asked for at 24         0  1  3  4  5  6  8  9
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from PIL import UnidentifiedImageError

from nonlocalnet.data.annotations import FrameFiles, VideoEntry
from nonlocalnet.data.pixels.read_image import ImageError, read_rgb
from nonlocalnet.data.pixels.resize import Scaling
from nonlocalnet.data.video.decoding.finish import CropChoice, Finish
from nonlocalnet.data.video.decoding.gather import distinct, gather
from nonlocalnet.data.video.decoding.in_order import frames_in_order
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.data.video.reader import VideoReader

_MOST_SAMPLED = 10_000_000  # frames of a timeline, 115 hours at 24 a second


class VideoSource(Protocol):
    """A video as numbered frames.

    Attributes:
        path: The file or folder, for messages.
        num_frames: Frames of its timeline, at least 1.
        duration_seconds: From the first frame's start to the last frame's end; 0.0 where it is not known.
    """

    path: Path
    num_frames: int
    duration_seconds: float

    def seconds(self, frame: int) -> float:
        """When a frame is shown, counted from the first one."""
        ...

    def read(
        self,
        frame_indices: Sequence[int],
        *,
        short_side: int | None = None,
        crop: CropChoice | None = None,
        scaling: Scaling = "antialiased",
    ) -> torch.Tensor:
        """uint8 RGB (N, H, W, 3), in the order of `frame_indices`; as `reader.read_frames`."""
        ...

    def in_order(self, wanted: npt.NDArray[np.int64], *, short_side: int) -> Iterator[tuple[int, torch.Tensor]]:
        """(frame, uint8 RGB (H, W, 3)) of ascending frames one by one, each once; as `in_order.frames_in_order`."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


@contextmanager
def open_source(entry: VideoEntry) -> Iterator[VideoSource]:
    """The frames of a listed video, for a `with` statement.

    Raises:
        FileNotFoundError: There is no such file or folder.
        VideoError: The file is not a readable, complete video, or the folder holds none of the frames.
    """
    if entry.frames is not None:
        source: VideoSource = FrameFolder(entry.path, entry.frames, fps=entry.fps)
    else:
        source = VideoFile(entry.path, fps=entry.fps)
    try:
        yield source
    finally:
        source.close()


class VideoFile:
    """A video file.

    Args:
        path: The file.
        fps: Frames a second of the timeline; None for the file's own frames.
    """

    def __init__(self, path: Path, *, fps: float | None = None) -> None:
        self._reader = VideoReader(path)
        index = self._reader.index
        self.path = path
        self._seconds = index.seconds
        self._fps = fps
        self._shown: list[int] | None = None
        self.num_frames = index.num_frames
        self.duration_seconds = index.duration_seconds
        if fps is not None:
            if index.duration_seconds * fps > _MOST_SAMPLED:
                raise VideoError(
                    f"{path}: lasts {index.duration_seconds:g} seconds by its time stamps: they are damaged"
                )
            self.num_frames = max(1, round(index.duration_seconds * fps))
            due = (np.arange(self.num_frames) + 0.5) / fps
            self._shown = np.maximum(np.searchsorted(index.seconds, due, side="left") - 1, 0).tolist()

    def seconds(self, frame: int) -> float:
        """When a frame is shown, counted from the first one."""
        return float(self._seconds[frame]) if self._fps is None else frame / self._fps

    def read(
        self,
        frame_indices: Sequence[int],
        *,
        short_side: int | None = None,
        crop: CropChoice | None = None,
        scaling: Scaling = "antialiased",
    ) -> torch.Tensor:
        """uint8 RGB (N, H, W, 3), in the order of `frame_indices`; as `reader.read_frames`."""
        distinct(frame_indices, self.num_frames, of=self.path)
        shown = frame_indices if self._shown is None else [self._shown[frame] for frame in frame_indices]
        return self._reader.read(shown, short_side=short_side, crop=crop, scaling=scaling)

    def in_order(self, wanted: npt.NDArray[np.int64], *, short_side: int) -> Iterator[tuple[int, torch.Tensor]]:
        """(frame, uint8 RGB (H, W, 3)) of ascending frames one by one, each once; as `in_order.frames_in_order`."""
        finish = Finish(short_side=short_side, crop=None)
        shown = wanted if self._shown is None else np.asarray(self._shown, np.int64)[wanted]
        place = 0
        for number, frame_HWC in frames_in_order(self.path, self._reader.index, np.unique(shown), finish=finish):
            while place < len(wanted) and shown[place] == number:  # a slow video's frame stands for several
                yield int(wanted[place]), frame_HWC
                place += 1

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


class FrameFolder:
    """A folder of extracted frames.

    Args:
        path: The folder.
        files: The names of the images.
        fps: Frames a second at which they were extracted; None where it is not known, then `seconds` counts frames.
    """

    def __init__(self, path: Path, files: FrameFiles, *, fps: float | None = None) -> None:
        self.path = path
        self._files = files
        self._fps = fps
        self.num_frames = files.total if files.total is not None else _count(path, files)
        self.duration_seconds = self.num_frames / fps if fps else 0.0

    def seconds(self, frame: int) -> float:
        """When a frame is shown, counted from the first one."""
        return frame / (self._fps or 1.0)

    def read(
        self,
        frame_indices: Sequence[int],
        *,
        short_side: int | None = None,
        crop: CropChoice | None = None,
        scaling: Scaling = "antialiased",
    ) -> torch.Tensor:
        """uint8 RGB (N, H, W, 3), in the order of `frame_indices`; as `reader.read_frames`."""
        wanted = distinct(frame_indices, self.num_frames, of=self.path)
        finish = Finish(short_side=short_side, crop=crop, scaling=scaling)
        images = ((frame, finish.region(_read_frame(self.path / self._files.name(frame))[None])) for frame in wanted)
        return gather(images, frame_indices, finish)

    def in_order(self, wanted: npt.NDArray[np.int64], *, short_side: int) -> Iterator[tuple[int, torch.Tensor]]:
        """(frame, uint8 RGB (H, W, 3)) of ascending frames one by one, each once."""
        finish = Finish(short_side=short_side, crop=None)
        for frame in wanted.tolist():
            image = _read_frame(self.path / self._files.name(frame))
            yield frame, finish(finish.region(image[None]))[0]

    def close(self) -> None:
        """Nothing is open between two reads."""


def _read_frame(path: Path) -> torch.Tensor:
    """One extracted frame, uint8 RGB (H, W, 3).

    Raises:
        FileNotFoundError: There is no such file.
        VideoError: It is not a readable, complete image.
    """
    try:
        return read_rgb(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"frame not found: {path}") from None
    except ImageError as error:
        if error.__cause__ is None:  # said with the path
            raise VideoError(str(error)) from error
        known = isinstance(error.__cause__, UnidentifiedImageError)
        reason = "not an image" if known else f"the image cannot be read: {error.__cause__}"
        raise VideoError(f"{path}: {reason}") from error


def _count(path: Path, files: FrameFiles) -> int:
    """Frames in the folder, which must be numbered without a gap."""
    try:
        names = {entry.name for entry in path.iterdir()}
    except NotADirectoryError as error:
        raise VideoError(f"{path}: not a folder of frames") from error
    except FileNotFoundError:
        raise FileNotFoundError(f"folder of frames not found: {path}") from None
    except OSError as error:
        raise VideoError(f"{path}: the folder cannot be read: {error.strerror}") from error
    form = re.compile(rf"{re.escape(files.prefix)}([0-9]{{{files.digits},}}){re.escape(files.suffix)}")
    numbers = {int(match[1]) for match in map(form.fullmatch, names) if match is not None}
    total = max(numbers, default=0) - files.first + 1
    missing = next((frame for frame in range(max(total, 1)) if files.first + frame not in numbers), None)
    if missing is not None:
        raise VideoError(f"{path}: frame {files.name(missing)} is missing, {len(numbers)} others are there")
    return total
