"""Telling a truncated sound from a short one, by what the file says of its own length.

FFmpeg plays what is there and says nothing; of most wav files it even takes the length from what is there.

| format | what says how much there should be |
|---|---|
| wav, RF64 | the length of the data chunk |
| w64 | the length of the file in its header |
| Ogg (Vorbis, Opus) | the pages, each with its length and a checksum (`data/video/containers/ogg.py`) |
| mp3 | the count of frames in its Xing or Info header, where there is one |
| mp4, m4a, mov | the table of packets |
| Matroska, WebM | the lengths of its elements |
| wma, MPEG-TS, mpg | what its video says too (`data/video/containers/cut_packets.py`) |
| flac, aiff, au, caf, wv, tta | the count of samples |

A stream made for broadcast (aac in ADTS, MPEG-TS between two packets, an mp3 without that header) does not know its
length: it is as long as it is. So are wav files that were written to a pipe, whose lengths are 0 or the largest number.
"""

import struct
from pathlib import Path
from typing import BinaryIO

import av.audio.stream
import av.container

from nonlocalnet.data.video.containers.packaging import packaging_flaw

# Those of FFmpeg's formats whose duration is the count of samples in the header, never an estimate.
_COUNTED = frozenset({"aiff", "au", "flac", "tta", "wv"})
# Two frames: some writers count the header's own, and the silence that encoding puts around a sound may be left out.
_FRAMES_OF_DOUBT = 2
# Samples of a frame of mp3: MPEG-1's, and those of the lower rates of MPEG-2 and 2.5.
_MP3_FRAME, _MP3_LOW_FRAME, _MP3_LOW_RATES = 1152, 576, 24_000
# Writers to a pipe do not come back to write the length: 0, -1, or, as sox does, a little below 2^31.
_OPEN_LENGTHS = (0, 0x7FFFF000)


def flaw_of(
    path: Path, container: av.container.InputContainer, stream: av.audio.stream.AudioStream, *, decoded: int
) -> str | None:
    """Say what is in the file of what should be, or None if nothing is known to be missing.

    Args:
        path: The file.
        container: The file, opened and read to its end.
        stream: Its sound.
        decoded: Samples of a channel that came out, at the stream's own rate.
    """
    size = path.stat().st_size
    entries = list(stream.index_entries)
    present = sum(entry.pos + entry.size <= size for entry in entries)
    if present < len(entries):
        return f"truncated: {present} of {len(entries)} packets are in the file"
    with path.open("rb") as file:
        flaw = _bytes_missing(file, size)
    flaw = flaw or packaging_flaw(path)
    return flaw or _samples_missing(path, container, stream, decoded)


def _bytes_missing(file: BinaryIO, size: int) -> str | None:
    start = file.read(40)
    end = None
    if start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE":
        end = _wav_end(file, size)
    elif start[:4] == b"riff" and len(start) >= 24:
        end = struct.unpack_from("<Q", start, 16)[0]
    return f"truncated: {size} of {end} bytes are in the file" if end is not None and end > size else None


def _wav_end(file: BinaryIO, size: int) -> int | None:
    """Where the data chunk ends by its header; None where that is left open, or there is no such chunk."""
    at, long = 12, None
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"ds64":
            header = file.read(16)
            long = struct.unpack_from("<Q", header, 8)[0] if len(header) == 16 else None
        if name == b"data":
            if length == 0xFFFFFFFF and long is not None:
                return at + 8 + long
            return None if length == _OPEN_LENGTHS[0] or length >= _OPEN_LENGTHS[1] else at + 8 + length
        at += 8 + length + length % 2
    return None


def _samples_missing(
    path: Path, container: av.container.InputContainer, stream: av.audio.stream.AudioStream, decoded: int
) -> str | None:
    name = container.format.name
    said = stream.frames if name == "caf" else 0
    doubt = 0
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
        if name in _COUNTED:
            said = round(seconds * stream.rate)
        elif name == "mp3" and _mp3_is_counted(path):
            frame = _MP3_LOW_FRAME if stream.rate <= _MP3_LOW_RATES else _MP3_FRAME
            said, doubt = round(seconds * stream.rate), _FRAMES_OF_DOUBT * frame
    if decoded < said - doubt:
        return f"truncated: {decoded} of {said} samples are in the file"
    return None


def _mp3_is_counted(path: Path) -> bool:
    """Whether its first frame is the header that counts the others; without, FFmpeg estimates from the bit rate."""
    with path.open("rb") as file:
        start = file.read(10)
        skip = 0
        if start[:3] == b"ID3" and len(start) == 10:
            skip = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(start[6:], (21, 14, 7, 0), strict=True))
        file.seek(skip)
        frame = file.read(256)
    return frame[:1] == b"\xff" and (b"Xing" in frame or b"Info" in frame)
