"""Telling a truncated video file from a short one, by what the file says of its own length."""

from pathlib import Path

import av.video.stream

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # the two top-level elements of Matroska and WebM


def missing_part(path: Path, stream: av.video.stream.VideoStream, size: int) -> str | None:
    """Say what is in the file of what should be, such as "57 of 300 frames", or None where nothing is known to miss.

    Formats made for broadcast (MPEG-TS and the like) do not know their length: they are as long as they are.

    Args:
        path: The file.
        stream: Its video stream, opened.
        size: Bytes of the file.
    """
    # Files with a table of contents, such as mp4, AVI and MOV: an entry that ends beyond the file is missing.
    entries = list(stream.index_entries)
    present = sum(entry.pos + entry.size <= size for entry in entries)
    if present < len(entries):
        return f"{present} of {len(entries)} frames"
    expected = _matroska_size(path)
    return f"{size} of {expected} bytes" if expected is not None and size < expected else None


def _matroska_size(path: Path) -> int | None:
    """Bytes that a Matroska or WebM file should have; None for other files and where a live recording left it open."""
    with path.open("rb") as file:
        head = file.read(4096)
    if not head.startswith(_EBML):
        return None
    header = _element_size(head, len(_EBML))
    if header is None or not head.startswith(_SEGMENT, sum(header)):
        return None
    segment = _element_size(head, sum(header) + len(_SEGMENT))
    return None if segment is None else sum(segment)


def _element_size(data: bytes, at: int) -> tuple[int, int] | None:
    """(where the content starts, its bytes) of the element whose size field is at `at`; None if unknown.

    The leading zeros give the length of the field: 1xxxxxxx one byte, 01xxxxxx xxxxxxxx two; all x set: unknown.
    """
    if at >= len(data) or not data[at]:
        return None
    length = 9 - data[at].bit_length()
    value_bits = 7 * length
    value = int.from_bytes(data[at : at + length], "big") & ((1 << value_bits) - 1)
    return None if value == (1 << value_bits) - 1 else (at + length, value)
