"""Whether an ASF file (wmv, wma) is whole: it says how long it is, and each packet what parts of which frames it holds.

    header | data: packets of one size, each with payloads | index

A payload names its stream, and says how long its frame is and where in it its own bytes belong. FFmpeg passes over
payloads of streams that there are not, and plays what is left. A live recording leaves its length open, and is taken as
it is. Sections are those of "Advanced Systems Format (ASF) Specification", revision 01.20.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# GUIDs of sections 10.1 and 10.2.
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_STREAM_PROPERTIES = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_LIVE = 1
_DATA_HEADER = 50
# Titles and scripts are in the header, too; pictures of covers make the largest.
_MOST_HEADER = 1 << 24
# Bytes of a number by the two bits that say it.
_WIDTHS = (0, 1, 2, 4)


def asf_flaw(path: Path) -> str | None:
    """Say what is missing or damaged; None in other files, and where nothing is known to be.

    Args:
        path: The file, not empty.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(24)
        if not start.startswith(_ASF) or len(start) < 24:
            return None
        header = start + file.read(min(int.from_bytes(start[16:], "little"), _MOST_HEADER) - 24)
        at = header.find(_FILE_PROPERTIES)
        if at < 0 or len(header) < at + 100:
            return None
        # Section 3.2: the length at 40; flags, and the least and the most bytes of a packet, at 88.
        (said,) = struct.unpack_from("<Q", header, at + 40)
        flags, length, longest = struct.unpack_from("<III", header, at + 88)
        if flags & _LIVE:
            return None
        if said > size:
            return f"truncated: {size} of {said} bytes are in the file"
        data = file.read(_DATA_HEADER)
        if length != longest or not length or data[:16] != _DATA or len(data) < _DATA_HEADER:
            return None
        packets = _Packets(_stream_numbers(header))
        for number in range(int.from_bytes(data[40:48], "little")):
            packet = file.read(length)
            if len(packet) < length or not packets.take(packet):
                return f"damaged: its packet {number}, from byte {file.tell() - len(packet)} on, makes no sense"
    return None


def _stream_numbers(header: bytes) -> set[int]:
    """Of the streams that the header describes (section 3.3), within its extension too."""
    found, at = set[int](), header.find(_STREAM_PROPERTIES)
    while at >= 0:
        found.add(int.from_bytes(header[at + 72 : at + 74], "little") & 0x7F)
        at = header.find(_STREAM_PROPERTIES, at + 1)
    return found


class _Payload(NamedTuple):
    """A part of a frame: its stream and number, where in the frame it begins, and how long the frame is."""

    stream: int
    number: int
    offset: int
    length: int
    whole: int


class _Packets:
    """Takes packets in order, and knows which frame of each stream is open."""

    def __init__(self, streams: set[int]) -> None:
        self._new = set(streams)
        self._streams = streams
        self._open: dict[int, _Payload] = {}  # the last part of the frame that is not whole yet

    def take(self, packet: bytes) -> bool:
        """Whether its payloads are of known streams, within it, and go on where their frames were left."""
        try:
            return all(self._goes_on(payload) for payload in _payloads(packet))
        except ValueError:
            return False

    def _goes_on(self, part: _Payload) -> bool:
        before, end = self._open.pop(part.stream, None), part.offset + part.length
        if part.stream in self._new:  # what was cut out of a longer file may begin within a frame
            begins = (part.number, part.offset)
        else:
            begins = (part.number, 0) if before is None else (before.number, before.offset + before.length)
        if part.stream not in self._streams or (part.number, part.offset) != begins or end > part.whole:
            return False
        self._new.discard(part.stream)
        if end < part.whole:
            self._open[part.stream] = part
        return True


class _Reader:
    """Numbers of an ASF packet, one after the other."""

    def __init__(self, packet: bytes) -> None:
        self._packet = packet
        self.at = 0

    def number(self, width: int) -> int:
        """A number of so many bytes; none is 0.

        Raises:
            ValueError: They are not in the packet.
        """
        return int.from_bytes(self.skip(width), "little")

    def skip(self, length: int) -> bytes:
        """So many bytes.

        Raises:
            ValueError: They are not in the packet.
        """
        taken = self._packet[self.at : self.at + length]
        if len(taken) < length:
            raise ValueError("beyond the packet")
        self.at += length
        return taken


def _payloads(packet: bytes) -> Iterator[_Payload]:
    """Those of a packet, by section 5.2.

    Raises:
        ValueError: It is no packet.
    """
    reader = _Reader(packet)
    lengths = reader.number(1)
    if lengths & 0x80:  # error correction comes first
        reader.skip(lengths & 0x0F)
        lengths = reader.number(1)
    widths = reader.number(1)
    if widths >> 6 != 1:
        raise ValueError("numbers of streams are one byte")
    said = reader.number(_WIDTHS[lengths >> 5 & 3]) or len(packet)
    reader.number(_WIDTHS[lengths >> 1 & 3])  # sequence, which nobody uses
    padding = reader.number(_WIDTHS[lengths >> 3 & 3])
    reader.skip(6)  # when it is sent, and for how long
    end = min(said, len(packet)) - (padding if said >= len(packet) else 0)
    several = lengths & 1
    counted = reader.number(1) if several else 1
    for _ in range(counted & 0x3F):
        stream = reader.number(1) & 0x7F
        number, offset = reader.number(_WIDTHS[widths >> 4 & 3]), reader.number(_WIDTHS[widths >> 2 & 3])
        replicated = reader.number(_WIDTHS[widths & 3])
        told = reader.skip(replicated)
        length = reader.number(_WIDTHS[counted >> 6]) if several else end - reader.at
        if length < 0 or reader.at + length > end:
            raise ValueError("beyond the packet")
        if replicated == 1:  # whole frames, each behind its length; the offset is a time
            reader.skip(length)
            continue
        if replicated < 8:
            raise ValueError("nothing says how long the frame is")
        yield _Payload(stream, number, offset, length, int.from_bytes(told[:4], "little"))
        reader.skip(length)
