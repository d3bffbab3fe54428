"""Whether the times in the header of an mp4 or mov file can be meant, where frames are lost by them.

An edit list says which part of a track is shown, and FFmpeg leaves out the frames outside it. That is right for a
trimmed video; but where the durations of the frames are overwritten, nearly all of them seem to lie outside.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

# The boxes on the way to those that are read.
_OPENED = frozenset({b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl"})
_READ = frozenset({b"mvhd", b"tkhd", b"elst", b"mdhd", b"stts", b"stsz"})
_MOST_READ = 1 << 26  # bytes of one box
# How far what is shown may be from what the edit list asks for: a variable frame rate makes it inexact.
_TOLERANCE = 2.0


def mp4_flaw(path: Path, track_id: int, kept: int) -> str | None:
    """Say why fewer frames are shown than the header counts, or None where that is meant.

    Args:
        path: An mp4 or mov file.
        track_id: Which of its tracks.
        kept: Frames that FFmpeg shows.
    """
    with path.open("rb") as file:
        boxes = list(_boxes(file, 0, os.fstat(file.fileno()).st_size))
    try:
        return _flaw(boxes, track_id, kept)
    except (struct.error, ValueError, KeyError):
        return "its header is damaged"


def _flaw(boxes: list[tuple[bytes, bytes]], track_id: int, kept: int) -> str | None:
    track: dict[bytes, bytes] = {}
    movie_scale, ours = 0, False
    for name, content in boxes:
        if name == b"mvhd":
            movie_scale = _third_number(content)
        elif name == b"tkhd":
            ours = _third_number(content) == track_id
        elif ours:
            track.setdefault(name, content)
    (samples,) = struct.unpack_from(">I", track.get(b"stsz", bytes(12)), 8)
    # Columns: how many frames, and how long each is.
    (runs,) = struct.unpack_from(">I", track.get(b"stts", bytes(8)), 4)
    table = np.frombuffer(track.get(b"stts", b""), ">u4", offset=8 if runs else 0, count=2 * runs)
    table = table.reshape(-1, 2).astype(np.float64)
    counted, lasting = float(table[:, 0].sum()), float(table.prod(axis=1).sum())
    if counted > samples + 1:
        return f"its header counts {counted:g} frames by their durations and {samples} by their sizes"
    if kept >= samples:
        return None
    if b"elst" not in track:
        return f"only {kept} of its {samples} frames have a place in time"
    edited = _edited(track[b"elst"])
    if not edited or not movie_scale:  # to the end
        return None
    scale = _third_number(track[b"mdhd"])
    asked = edited / movie_scale
    shown = kept * lasting / counted / scale if counted and scale else 0.0
    if asked / _TOLERANCE <= shown <= asked * _TOLERANCE:
        return None
    return (
        f"the times in its header make no sense: {asked:g} s are to be shown, but by the durations of its frames only "
        f"{kept} of {samples} lie in them"
    )


def _third_number(content: bytes) -> int:
    """Of mvhd and mdhd the time scale, of tkhd the track: it follows two dates, which are longer in version 1."""
    return int(struct.unpack_from(">I", content, 20 if content[:1] == b"\1" else 12)[0])


def _edited(content: bytes) -> int:
    """Length of an edit list in units of the movie; edits that show nothing (media time -1) are left out."""
    form = ">qqi" if content[:1] == b"\1" else ">iii"
    (edits,) = struct.unpack_from(">I", content, 4)
    rows = list(struct.iter_unpack(form, content[8 : 8 + edits * struct.calcsize(form)]))
    return sum(length for length, start, _ in rows if start >= 0)


def _boxes(file: BinaryIO, at: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """(name, content) of the boxes of `_READ` between two bytes, in the file's order."""
    while at + 8 <= end:
        file.seek(at)
        size, name = struct.unpack(">I4s", file.read(8))
        start = at + 8
        if size == 1:  # 64 bits follow
            (size,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            start += 8
        stop = at + size if size else end
        if stop < start or stop > end:
            return
        if name in _OPENED:
            yield from _boxes(file, start, stop)
        elif name in _READ and stop - start <= _MOST_READ:
            file.seek(start)
            yield name, file.read(stop - start)
        at = stop
