"""Whether an Ogg file (ogv, ogg, opus) is whole: each page says its length, and carries a checksum of all its bytes.

FFmpeg passes over pages that are cut off or damaged, and plays what is left. A file that was cut between two pages is
as long as it is.
"""

import zlib
from pathlib import Path

_HEADER = 27  # bytes before the lengths of the segments
_CHECKSUM = slice(22, 26)
# The bits of each byte in reverse.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def ogg_flaw(path: Path) -> str | None:
    """Say what is missing or damaged; None in other files, and where something else follows a page.

    Args:
        path: The file, not empty.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        at, number = 0, 0
        while at < size:
            header = file.read(_HEADER)
            if header[:4] != b"OggS"[: len(header)] or (number == 0 and len(header) < 4):
                return None
            lengths = file.read(header[26]) if len(header) == _HEADER else b""
            if len(header) < _HEADER or len(lengths) < header[26]:
                return f"truncated: at byte {size} it ends in the middle of a page"
            body = file.read(sum(lengths))
            end = at + _HEADER + len(lengths) + sum(lengths)
            if end > size:
                return f"truncated: {size} of {end} bytes are in the file"
            if _checksum(header[:22] + bytes(4) + header[26:] + lengths + body) != header[_CHECKSUM]:
                return f"damaged: its page {number}, from byte {at} on, is not as its checksum says"
            at, number = end, number + 1
    return None


def _checksum(page: bytes) -> bytes:
    """The CRC of RFC 3533: zlib's polynomial, from the highest bit on, beginning with 0 and not inverted."""
    turned = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return turned.to_bytes(4, "big").translate(_REVERSED)
