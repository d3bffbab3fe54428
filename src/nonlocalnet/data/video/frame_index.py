"""Where the frames of a video file lie: a scan of the packets' time stamps, without decoding."""

import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import av
import av.container
import av.stream
import av.video.stream
import numpy as np
import numpy.typing as npt
from av.error import ArgumentError, InvalidDataError
from av.stream import Disposition

from nonlocalnet.data.video.containers.frame_order import first_out_of_order, order_is_certain
from nonlocalnet.data.video.containers.mp4_times import mp4_times
from nonlocalnet.data.video.containers.truncation import EDITS_NOT_MEANT, flaw_of
from nonlocalnet.data.video.decoding.orientation import AS_STORED, orientation_of
from nonlocalnet.data.video.errors import VideoError, reason_of, unreadable_where_it_fails
from nonlocalnet.data.video.local_file import open_local

OpenedVideo: TypeAlias = tuple[av.container.InputContainer, av.video.stream.VideoStream]

# (path, bytes, time of change) to its scan, the latest last.
_scans: dict[tuple[Path, int, int], "FrameIndex"] = {}
_SCANS_KEPT = 128


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a file's best video stream, in the order in which they are shown.

    Attributes:
        pts: Presentation time of each frame in `time_base` units, int64 (N,), ascending; where `by_pts` is false it
            holds only the count.
        keyframes: Indices into `pts` of the keyframes, ascending.
        by_pts: Whether a frame is known by its pts. Where not (AVI, whose time stamps lie when there are B-frames, and
            streams without or with repeated time stamps), the file is decoded from its first frame and counted.
        seconds: When each frame is shown, counted from the first, float64 (N,); where `by_pts` is false, evenly spread
            over the duration.
        duration_seconds: From the first frame's start to the last frame's end; 0.0 where the file does not say.
        turned: Whether the container turns the pictures; looked at for VP9 only (`codec`).
        follows_edits: Whether the file's edit list is followed; `open_video` has to be told.
    """

    pts: npt.NDArray[np.int64]
    keyframes: npt.NDArray[np.int64]
    by_pts: bool
    seconds: npt.NDArray[np.float64]
    duration_seconds: float
    turned: bool = False
    follows_edits: bool = True

    @property
    def num_frames(self) -> int:
        """Number of frames shown."""
        return len(self.pts)


def open_video(path: Path, *, follow_edits: bool = True) -> OpenedVideo:
    """Open a file and choose its best video stream, decoded by one thread.

    The caller closes the container.

    Args:
        path: The file.
        follow_edits: Whether frames that an edit list of mp4 or mov leaves out are left out (`FrameIndex`).

    Raises:
        FileNotFoundError: There is no such file.
        VideoError: The file is not a video that can be decoded.
    """
    with unreadable_where_it_fails(path, "cannot be opened"):
        _check_file(path)
        try:
            container = open_local(path, _options(path, follow_edits))
        except InvalidDataError as error:
            raise VideoError(f"{path}: not a video, or cut off before its header: {reason_of(error)}") from error
        except ArgumentError as error:  # also the format that is none of SELF_CONTAINED
            raise VideoError(f"{path}: not a video, or a list of other files: {reason_of(error)}") from error
        try:
            return container, _best_stream(path, container)
        except BaseException:
            container.close()
            raise


def _check_file(path: Path) -> None:
    try:
        status = path.stat()  # Path.exists says no of links that lead to each other, too
    except FileNotFoundError:
        raise FileNotFoundError(f"video file not found: {path}") from None
    if not stat.S_ISREG(status.st_mode):
        raise VideoError(f"{path}: not a video: it is a folder or a special file")
    if status.st_size == 0:
        raise VideoError(f"{path}: the file is empty (0 bytes); fetch it again")


def _options(path: Path, follow_edits: bool) -> dict[str, str]:
    """What to tell FFmpeg on opening: a playlist or the like must not lead it to other files or the network.

    It decodes the first frames to learn the pixel format and more; the header of an mp4 or mov says all that is needed
    here. `skip_frame` reaches the decoder that does this, and no other: 1 ms in place of 11 for a 720p file.
    """
    with path.open("rb") as file:
        skip = {"skip_frame": "all"} if file.read(8)[4:] == b"ftyp" else {}
    edits = {} if follow_edits else {"ignore_editlist": "1"}
    return {**skip, **edits}


def _best_stream(path: Path, container: av.container.InputContainer) -> av.video.stream.VideoStream:
    if container.format.name == "tty":  # FFmpeg renders plain text files as a video
        raise VideoError(f"{path}: not a video: it is a text file")
    stream = container.streams.best("video")
    # The cover picture of a sound file is a "video" stream of one frame.
    if not isinstance(stream, av.video.stream.VideoStream) or stream.disposition & Disposition.attached_pic:
        kinds = ", ".join(sorted({_kind(s) for s in container.streams})) or "nothing"
        raise VideoError(f"{path}: no video stream in this file, only: {kinds}")
    # Read through getattr: a stream without decoder has no codec context, which the stubs do not say.
    if getattr(stream, "codec_context", None) is None:
        raise VideoError(f"{path}: no decoder for its video codec in this build of PyAV")
    # One thread a reader: loader workers run in parallel already, and frame threads cost 1.5 times the processor time.
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    return stream


def frame_index(path: Path, *, opened: OpenedVideo | None = None) -> FrameIndex:
    """Scan a file's packets, about 1 ms for 300 frames; the latest 128 scans are kept.

    Args:
        path: The file.
        opened: The file, where it is open already; it is read to its end.

    Raises:
        FileNotFoundError: There is no such file.
        VideoError: The file cannot be read, is truncated, or holds no frame.
    """
    with unreadable_where_it_fails(path, "cannot be opened"):
        try:
            status = path.stat()
        except FileNotFoundError:
            raise FileNotFoundError(f"video file not found: {path}") from None
    key = (path, status.st_size, status.st_mtime_ns)  # a file that was replaced is scanned anew
    known = _scans.pop(key, None)
    if known is None and opened is not None:
        known = _scan(path, status.st_size, *opened)
    elif known is None:
        container, stream = open_video(path)
        with container:
            known = _scan(path, status.st_size, container, stream)
    _scans[key] = known
    if len(_scans) > _SCANS_KEPT:
        _scans.pop(next(iter(_scans)))
    return known


def _scan(
    path: Path,
    size: int,
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    *,
    follow_edits: bool = True,
) -> FrameIndex:
    # Packets that an edit list discards are decoded but not shown.
    shown: list[tuple[int | None, int, bool]] = []
    turned = False
    last_dts = None
    times: list[tuple[int | None, int | None]] = []
    try:
        for packet in container.demux(stream):
            if not shown and stream.codec_context.name == "vp9":
                turned = any(orientation_of(frame) != AS_STORED for frame in stream.codec_context.decode(packet))
            if packet.size or packet.is_discard:
                times.append((packet.pts, packet.dts))
            if packet.size and not packet.is_discard:
                shown.append((packet.pts, packet.duration or 0, packet.is_keyframe))
                last_dts = packet.dts
    except Exception as error:
        raise VideoError(f"{path}: broken after {len(shown)} frames: {reason_of(error)}") from error
    with unreadable_where_it_fails(path):
        ends = [pts + duration for pts, duration, _ in shown if pts is not None]
        flaw = flaw_of(
            path,
            container,
            stream,
            size=size,
            last_dts=last_dts,
            last_end=max(ends, default=0),
            packets=len(times),
            discarded=len(times) - len(shown),
        )
        if flaw == EDITS_NOT_MEANT and not follow_edits:  # opened without them, and as little is there
            flaw = "damaged: a table in its header that says where frames are, or when, is missing"
        if flaw == EDITS_NOT_MEANT:
            container, stream = open_video(path, follow_edits=False)
            with container:
                return _scan(path, size, container, stream, follow_edits=False)
        if flaw is not None:
            raise VideoError(f"{path}: {flaw}; fetch it again or leave it out")
        if not shown:
            raise VideoError(f"{path}: its video stream holds no frame")
        built = _build(container.format.name, stream, shown)
        index = replace(built, turned=turned, follows_edits=follow_edits)
        # Where times repeat, frames are counted in the decoder's order; but what is left out is known by the times.
        if "mp4" in container.format.name and (index.by_pts or len(shown) < len(times)):
            header = mp4_times(path, stream.id)
            reordered = stream.codec_context.has_b_frames
            if header is None or not header.is_composed or not order_is_certain(times, reordered=reordered):
                _check_order(path)
        return index


def _check_order(path: Path) -> None:
    # Frames that the edit list leaves out may be left out by a damaged time.
    container, stream = open_video(path, follow_edits=False)
    with container:
        number = first_out_of_order(container, stream)
    if number is not None:
        raise VideoError(
            f"{path}: damaged: by the times in its header frame {number} is shown before the one that it follows; "
            "fetch it again or leave it out"
        )


def _build(
    format_name: str, stream: av.video.stream.VideoStream, shown: list[tuple[int | None, int, bool]]
) -> FrameIndex:
    known = [(pts, duration, key) for pts, duration, key in shown if pts is not None]
    distinct = len({pts for pts, _, _ in known}) == len(shown)
    rate = stream.average_rate or stream.guessed_rate
    if format_name == "avi" or not distinct:
        count = len(shown)
        duration_seconds = count / float(rate) if rate else 0.0
        seconds = np.arange(count, dtype=np.float64) * (duration_seconds / count)
        return FrameIndex(np.zeros(count, np.int64), np.zeros(1, np.int64), False, seconds, duration_seconds)
    known.sort()
    pts = np.array([entry[0] for entry in known], np.int64)
    keyframes = np.flatnonzero([entry[2] for entry in known]).astype(np.int64)
    seconds = (pts - pts[0]).astype(np.float64) * float(stream.time_base or 0)
    last_seconds = known[-1][1] * float(stream.time_base or 0) or (1 / float(rate) if rate else 0.0)
    return FrameIndex(pts, keyframes, True, seconds, float(seconds[-1]) + last_seconds)


def _kind(stream: av.stream.Stream) -> str:
    return "a cover picture" if stream.disposition & Disposition.attached_pic else stream.type
