"""Telling a truncated or overwritten video file from a short one, by what the file says of its own length."""

from pathlib import Path

import av.container
import av.video.stream

from nonlocalnet.data.video.matroska import matroska_flaw
from nonlocalnet.data.video.mp4_times import mp4_flaw


def flaw_of(
    path: Path,
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    *,
    size: int,
    last_dts: int | None,
    discarded: int,
) -> str | None:
    """Say what is in the file of what should be, such as "truncated: 57 of 300 frames ...", or None if unknown.

    Formats made for broadcast (MPEG-TS and the like) do not know their length: they are as long as they are.

    Args:
        path: The file.
        container: The file, opened and read to its end.
        stream: Its video stream.
        size: Bytes of the file.
        last_dts: The latest decoding time of its packets.
        discarded: Frames that are not to be shown.
    """
    # Files with a table of contents, such as mp4, AVI and MOV: an entry that ends beyond the file is missing.
    entries = list(stream.index_entries)
    present = sum(entry.pos + entry.size <= size for entry in entries)
    if present < len(entries):
        return _truncated(present, len(entries))
    if container.format.name == "avi":
        return _avi_flaw(path, stream, size=size, present=(last_dts or 0) + 1)
    # Where nothing is left out, the times lose nothing.
    if "mp4" in container.format.name and (discarded or len(entries) < stream.frames):
        return mp4_flaw(path, stream.id, len(entries) - discarded)
    return matroska_flaw(path)


def _avi_flaw(path: Path, stream: av.video.stream.VideoStream, *, size: int, present: int) -> str | None:
    """By the header, which counts the frames, those that repeat the one before included.

    FFmpeg's duration is cut to what it found where the index is gone. The index is the file's end, so that without it
    the file is also shorter than it says.
    """
    with path.open("rb") as file:
        file.seek(4)
        said = int.from_bytes(file.read(4), "little") + 8
    short = stream.duration is not None and stream.duration < stream.frames
    if present < stream.frames and (short or size < said):
        return _truncated(present, stream.frames)
    return None


def _truncated(present: int, entries: int) -> str:
    return f"truncated: {present} of {entries} frames are in the file"
