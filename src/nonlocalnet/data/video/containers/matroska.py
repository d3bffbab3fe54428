"""What a Matroska or WebM file says of its own length, and where its blocks break off.

FFmpeg looks for the next cluster after damage and says nothing of what it passed over. A file is elements within
elements, each with its length in front, so damage is found by going from one to the next without reading a picture.
"""

import mmap
from pathlib import Path

_EBML, _SEGMENT, _CLUSTER = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"


def _names(names: str) -> frozenset[bytes]:
    return frozenset(map(bytes.fromhex, names.split()))


# SeekHead, Info, Tracks, Cluster, Cues, Attachments, Chapters, Tags, Void, CRC-32, SignatureSlot.
_IN_SEGMENT = _names("114d9b74 1549a966 1654ae6b 1f43b675 1c53bb6b 1941a469 1043a770 1254c367 ec bf 1b538667")
# Timestamp, SimpleBlock, BlockGroup, Position, PrevSize, SilentTracks, EncryptedBlock, Void, CRC-32.
_IN_CLUSTER = _names("e7 a3 a0 a7 ab 5854 af ec bf")


def matroska_flaw(path: Path) -> str | None:
    """Say what is missing or overwritten; None in other files, in whole ones, and where a live recording left it open.

    Args:
        path: The file, not empty.
    """
    with path.open("rb") as file:
        if file.read(len(_EBML)) != _EBML:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            header = _length(data, len(_EBML))
            if header is None or data[sum(header) : sum(header) + len(_SEGMENT)] != _SEGMENT:
                return None
            length = _length(data, sum(header) + len(_SEGMENT))
            if length is None:
                return None
            if sum(length) > len(data):
                return f"truncated: {len(data)} of {sum(length)} bytes are in the file"
            damaged = _first_strange(data, length[0], sum(length), _IN_SEGMENT)
            return None if damaged is None else f"damaged at byte {damaged} of {len(data)}: frames are missing there"


def _first_strange(data: mmap.mmap, at: int, end: int, known: frozenset[bytes]) -> int | None:
    """Where the first element begins that is none of `known` or longer than what it stands in; None if all are good."""
    while at < end:
        # The leading zeros of its first byte give the length of the name, as they do for the length behind it.
        size = 9 - data[at].bit_length()
        name = data[at : at + size]
        if name not in known:
            return at
        length = _length(data, at + size)
        if length is None:  # left open
            return None
        if sum(length) > end:
            return at
        damaged = _first_strange(data, length[0], sum(length), _IN_CLUSTER) if name == _CLUSTER else None
        if damaged is not None:
            return damaged
        at = sum(length)
    return None


def _length(data: mmap.mmap, at: int) -> tuple[int, int] | None:
    """(where the content starts, its bytes) of the element whose length is written at `at`; None if it is left open.

    The leading zeros give the bytes of the field: 1xxxxxxx one, 01xxxxxx xxxxxxxx two; all x set: left open.
    """
    if at >= len(data) or not data[at]:
        return None
    size = 9 - data[at].bit_length()
    value_bits = 7 * size
    value = int.from_bytes(data[at : at + size], "big") & ((1 << value_bits) - 1)
    return None if value == (1 << value_bits) - 1 else (at + size, value)
