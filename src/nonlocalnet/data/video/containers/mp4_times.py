"""Whether the header of an mp4 or mov file can be meant as it stands, where frames are lost by it.

An edit list says which part of a track is shown, and FFmpeg leaves out the frames outside it. That is right for a
trimmed video; but where a time or a length is overwritten, frames seem to lie outside that were to be shown.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

# The boxes on the way to those that are read.
_OPENED = frozenset({b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl"})
_READ = frozenset({b"mvhd", b"tkhd", b"elst", b"mdhd", b"stts", b"ctts", b"stsz"})
_MOST_READ = 1 << 26  # bytes of one box
_UNTIMED = frozenset({0, (1 << 32) - 1, (1 << 64) - 1})  # durations that say that they are not known


@dataclass(frozen=True)
class Mp4Times:
    """What a header says of one track; times in seconds, 0.0 where it does not say.

    Attributes:
        samples: Frames, by the table of their sizes; those of fragments are not counted.
        sized: Bytes of all frames together.
        counted: Frames, by the table of their durations.
        composed: Frames, by the table of how long after its decoding each is shown; None without one.
        frame: How long a frame lasts on average.
        media: How long the media is, by its own header.
        lasting: How long the frames last together.
        shown: How long the track is shown, by the track's header, where nothing is shown yet included.
        empty: How long nothing is shown first.
        edited: How long is shown by the edit list; None without one.
        first: When the first frame is shown on the media's own clock.
        start: When the first edit starts on that clock.
        end: When the last edit ends on it.
    """

    samples: int
    sized: int
    counted: int
    composed: int | None
    frame: float
    media: float
    lasting: float
    shown: float
    empty: float
    edited: float | None
    first: float
    start: float
    end: float

    @property
    def slack(self) -> float:
        """Writers round; what is nearer than this loses no frame."""
        return max(self.frame / 2, 0.002)

    @property
    def is_whole(self) -> bool:
        """Whether the track is as long as its media, so that an edit list cannot be meant to leave frames out.

        Or it begins with the first frame and has no length: it was written before the fragments behind it were.
        """
        if self.edited == 0.0 and self.start <= self.first + self.slack:
            return True
        return any(abs(shown - self.media) <= self.slack for shown in (self.shown, self.shown - self.empty))

    @property
    def is_trimmed(self) -> bool:
        """Whether the edit list is one that leaves frames out, and agrees with the rest of the header."""
        if self.edited is None:
            return False
        agrees = any(abs(shown - self.edited) <= self.slack for shown in (self.shown, self.shown - self.empty))
        # Some programs write the edit list alone. One damaged number changes its start or its length, not both.
        alone = self.start > self.first + self.slack
        shorter = self.frame - self.slack <= self.edited < min(self.media, self.lasting) - self.slack
        inside = self.end <= self.first + self.lasting + self.slack
        return (agrees or alone) and shorter and inside

    @property
    def is_composed(self) -> bool:
        """Whether it says of every frame when it is shown."""
        return self.composed is None or self.composed == self.samples


def mp4_times(path: Path, track_id: int) -> Mp4Times | None:
    """Read the header; None where it is damaged.

    Args:
        path: An mp4 or mov file.
        track_id: Which of its tracks.
    """
    with path.open("rb") as file:
        boxes = list(_boxes(file, 0, os.fstat(file.fileno()).st_size))
    try:
        return _times(boxes, track_id)
    except (struct.error, ValueError, KeyError):
        return None


def _times(boxes: list[tuple[bytes, bytes]], track_id: int) -> Mp4Times:
    track: dict[bytes, bytes] = {}
    movie_scale, ours = 0, False
    for name, content in boxes:
        if name == b"mvhd":
            movie_scale = _third_number(content)
        elif name == b"tkhd":
            ours = _third_number(content) == track_id
            if ours:
                track[name] = content
        elif ours:
            track.setdefault(name, content)
    scale = _third_number(track[b"mdhd"])
    if not scale or not movie_scale:
        raise ValueError("a second without length")
    samples, sized = _sizes(track.get(b"stsz", bytes(12)))
    counted, units = _durations(track.get(b"stts", bytes(8)))
    media, lasting = _duration(track[b"mdhd"], after=16) / scale, units / scale
    edits = _edits(track[b"elst"]) if b"elst" in track else []
    shown = [(length / movie_scale, start / scale) for length, start in edits if start >= 0]
    return Mp4Times(
        samples=samples,
        sized=sized,
        counted=counted,
        composed=_durations(track[b"ctts"])[0] if b"ctts" in track else None,
        frame=min(media or lasting, lasting) / samples if samples else 0.0,
        media=media,
        lasting=lasting,
        shown=_duration(track[b"tkhd"], after=20) / movie_scale,
        empty=sum(length / movie_scale for length, start in edits if start < 0),
        edited=sum(length for length, _ in shown) if edits else None,
        first=_first_offset(track[b"ctts"]) / scale if b"ctts" in track else 0.0,
        start=min((start for _, start in shown), default=0.0),
        end=max((length + start for length, start in shown), default=0.0),
    )


def _third_number(content: bytes) -> int:
    """Of mvhd and mdhd the time scale, of tkhd the track: it follows two dates, which are longer in version 1."""
    return int(struct.unpack_from(">I", content, 20 if content[:1] == b"\1" else 12)[0])


def _duration(content: bytes, *, after: int) -> int:
    """Of mdhd and tkhd; `after` that many bytes in version 0."""
    long = content[:1] == b"\1"
    (duration,) = struct.unpack_from(">Q" if long else ">I", content, after + 8 if long else after)
    return 0 if duration in _UNTIMED else int(duration)


def _sizes(content: bytes) -> tuple[int, int]:
    """(number of frames, bytes of all)."""
    each, samples = struct.unpack_from(">II", content, 4)
    if each:
        return samples, each * samples
    return samples, int(np.frombuffer(content, ">u4", offset=12, count=samples).sum(dtype=np.int64)) if samples else 0


def _durations(content: bytes) -> tuple[int, float]:
    """(number of frames, how long all last) of stts; ctts begins alike."""
    (runs,) = struct.unpack_from(">I", content, 4)
    # Columns: how many frames, and how long each is.
    table = np.frombuffer(content, ">u4", offset=8, count=2 * runs) if runs else np.zeros(0)
    table = table.reshape(-1, 2).astype(np.float64)
    return int(table[:, 0].sum()), float(table.prod(axis=1).sum())


def _first_offset(content: bytes) -> int:
    """How long after its decoding the first frame is shown, in units of the media."""
    return int(struct.unpack_from(">i", content, 12)[0])


def _edits(content: bytes) -> list[tuple[int, int]]:
    """(length in units of the movie, start in units of the media) of each edit; one that shows nothing starts at -1."""
    form = ">qqi" if content[:1] == b"\1" else ">iii"
    (edits,) = struct.unpack_from(">I", content, 4)
    size = edits * struct.calcsize(form)
    if len(content) < 8 + size:
        raise ValueError("fewer edits than it says")
    rows = struct.iter_unpack(form, content[8 : 8 + size])
    return [(length, start) for length, start, _ in rows]


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
