"""Whether a GIF is whole: a chain of blocks, each with its length, and a mark at the end (GIF89a Specification).

There are no checksums: damage is noticed where it breaks the chain, unless what follows looks like the end.
"""

from pathlib import Path
from typing import BinaryIO

_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B
_HAS_COLOURS = 0x80


def gif_flaw(path: Path) -> str | None:
    """Say that it is cut off or damaged; None in other files, and for what follows the end.

    Args:
        path: The file, not empty.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(13)
        if header[:6] not in (b"GIF87a", b"GIF89a"):
            return None
        file.seek(_colours(header[10]) if len(header) == 13 else size, 1)
        while True:
            kind = file.read(1)
            if not kind:
                return f"truncated: at byte {size} it ends without the mark of an end"
            if kind[0] == _END:
                return None
            if kind[0] not in (_EXTENSION, _IMAGE):
                return f"damaged: at byte {file.tell() - 1} no block begins"
            if kind[0] == _EXTENSION:
                file.seek(1, 1)
            else:
                place = file.read(9)
                file.seek(1 + (_colours(place[8]) if len(place) == 9 else size), 1)
            _pass_parts(file)


def _colours(flags: int) -> int:
    """Bytes of the table that follows."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & _HAS_COLOURS else 0


def _pass_parts(file: BinaryIO) -> None:
    """Each part of a block says how many bytes it has; the last has none."""
    while length := file.read(1):
        if not length[0]:
            return
        file.seek(length[0], 1)
