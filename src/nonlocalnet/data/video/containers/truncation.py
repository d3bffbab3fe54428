"""Telling a truncated or overwritten video file from a short one, by what the file says of its own length."""

import math
import re
import struct
from pathlib import Path

import av.container
import av.video.stream

from nonlocalnet.data.video.containers.gif import gif_flaw
from nonlocalnet.data.video.containers.mp4_times import mp4_times
from nonlocalnet.data.video.containers.packaging import packaging_flaw

# In place of a flaw: the frames that an edit list leaves out are to be shown.
EDITS_NOT_MEANT = "its edit list is not meant"
# Writers round, and a last frame may have no length.
_SECONDS_OF_DOUBT = 0.5
_FLV_SIZE = re.compile(rb"\x00\x08filesize\x00(.{8})", re.DOTALL)
_FLV_HEADER = 65536  # bytes; the script's tag is the first, and may hold a table of key frames


def flaw_of(
    path: Path,
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    *,
    size: int,
    last_dts: int | None,
    last_end: int,
    packets: int,
    discarded: int,
) -> str | None:
    """Say what is in the file of what should be, such as "truncated: 57 of 300 frames ...", or None if unknown.

    `EDITS_NOT_MEANT` is no flaw: the file is to be opened without its edit list.

    Formats made for broadcast (MPEG-TS and the like) do not know their length: cut between two packets they are as long
    as they are.

    Args:
        path: The file.
        container: The file, opened and read to its end.
        stream: Its video stream.
        size: Bytes of the file.
        last_dts: The latest decoding time of its packets, in the stream's unit.
        last_end: When the frame ends that ends last.
        packets: How many frames it holds, those that are not to be shown included.
        discarded: Frames that are not to be shown.
    """
    # Files with a table of contents, such as mp4, AVI and MOV: an entry that ends beyond the file is missing.
    entries = list(stream.index_entries)
    present = sum(entry.pos + entry.size <= size for entry in entries)
    if present < len(entries):
        return _truncated(present, len(entries))
    if container.format.name == "avi":
        return _avi_flaw(path, stream, size=size, present=(last_dts or 0) + 1)
    if "mp4" in container.format.name:
        if packets < len(entries):
            return f"damaged: {packets} of {len(entries)} frames come out of the file"
        return _mp4_flaw(path, stream, entries=len(entries), discarded=discarded)
    if container.format.name == "flv":
        return _flv_flaw(path, size=size)
    flaw = packaging_flaw(path) or gif_flaw(path)
    return flaw or _shorter_than_said(stream, last_end)


def _mp4_flaw(path: Path, stream: av.video.stream.VideoStream, *, entries: int, discarded: int) -> str | None:
    """By the header, which says in several places how many frames there are and how long they are shown."""
    times = mp4_times(path, stream.id)
    if times is not None and times.sized > path.stat().st_size:
        return f"damaged: by its header the frames take {times.sized} bytes, which is more than the file has"
    # Where nothing is left out, the times lose nothing.
    if not discarded and entries >= max(stream.frames, 0 if times is None else times.samples):
        return None
    kept = entries - discarded
    if times is None:
        return "its header is damaged"
    if times.counted > times.samples + 1:
        return f"its header counts {times.counted} frames by their durations and {times.samples} by their sizes"
    if times.edited is None:
        return f"damaged: only {kept} of its {times.samples} frames have a place in time"
    if times.is_trimmed:
        return None
    if times.is_whole:
        return EDITS_NOT_MEANT
    return (
        f"the times in its header make no sense: of {times.media:g} s, {times.edited:g} s are to be shown by its "
        f"edit list and {times.shown:g} s by its track's header"
    )


def _shorter_than_said(stream: av.video.stream.VideoStream, last_end: int) -> str | None:
    """By the tag in which the writers of Matroska note how long each stream is; for what looks whole and is not."""
    said = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if said is None or stream.time_base is None:
        return None
    seconds = 3600 * int(said[1]) + 60 * int(said[2]) + float(said[3])
    found = float(last_end * stream.time_base)
    return f"damaged: it ends after {found:g} of {seconds:g} seconds" if found < seconds - _SECONDS_OF_DOUBT else None


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


def _flv_flaw(path: Path, *, size: int) -> str | None:
    """By the header's `filesize`, a number as ActionScript stores it; 0 in what was written while it was sent."""
    with path.open("rb") as file:
        said = _FLV_SIZE.search(file.read(_FLV_HEADER))
    whole = struct.unpack(">d", said[1])[0] if said else 0.0
    return f"truncated: {size} of {whole:.0f} bytes are in the file" if size < whole < math.inf else None


def _truncated(present: int, entries: int) -> str:
    return f"truncated: {present} of {entries} frames are in the file"
