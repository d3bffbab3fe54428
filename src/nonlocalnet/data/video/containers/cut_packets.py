"""Whether a broadcast stream ends in the middle: MPEG-TS, and MPEG program streams.

| format | what says that something is missing |
|---|---|
| MPEG-TS, also with 192 or 204 bytes a packet | a last packet that is shorter than the others |
| MPEG-1 and MPEG-2 program streams (mpg, vob) | a last packet that is shorter than its own header says |

Neither knows how long it should be: cut between two packets, a file is as long as it is.
"""

from pathlib import Path
from typing import BinaryIO

_TS_SYNC = 0x47
# Bytes of a packet, and where in it the sync byte stands: as broadcast, as on discs, and with 16 bytes of correction.
_TS_FORMS = ((188, 0), (192, 4), (204, 0))
_TS_LOOKED_AT = 4

_PS_PACK, _PS_END, _PS_FIRST_STREAM = b"\0\0\1\xba", 0xB9, 0xBB
# A pack is a few kilobytes; of any size, one begins in here.
_PS_TAIL = 1 << 20


def cut_packets_flaw(path: Path) -> str | None:
    """Say what is missing; None in other files, and where nothing is known to be.

    Args:
        path: The file, not empty.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_TS_LOOKED_AT * max(length for length, _ in _TS_FORMS))
        cut = _ts_is_cut(file, start, size) or (start.startswith(_PS_PACK) and _ps_is_cut(file, size))
    return f"truncated: at byte {size} it ends in the middle of a packet" if cut else None


def _ts_is_cut(file: BinaryIO, start: bytes, size: int) -> bool:
    for length, sync in _TS_FORMS:
        looked_at = start[sync : _TS_LOOKED_AT * length : length]
        if len(looked_at) == _TS_LOOKED_AT and set(looked_at) == {_TS_SYNC}:
            # What is no packet, such as a text that was added, has no sync byte and is passed over by FFmpeg.
            file.seek(size - size % length + sync)
            return size % length > 0 and file.read(1) == bytes([_TS_SYNC])
    return False


def _ps_is_cut(file: BinaryIO, size: int) -> bool:
    file.seek(max(0, size - _PS_TAIL))
    tail = file.read()
    at = tail.rfind(_PS_PACK)
    while 0 <= at < len(tail):
        prefix = tail[at : at + 3]
        if prefix != _PS_PACK[: len(prefix)]:
            return False  # something else follows
        if len(tail) < at + 6:
            return tail[at + 3 :] != bytes([_PS_END]) and any(tail[at:])
        code = tail[at + 3]
        if code == _PS_PACK[3]:
            at = _after_pack_header(tail, at)
        elif code >= _PS_FIRST_STREAM:
            at += 6 + int.from_bytes(tail[at + 4 : at + 6], "big")
        else:
            return False
    return at > len(tail)


def _after_pack_header(tail: bytes, at: int) -> int:
    """MPEG-2 begins with the bits 01 and says at its end how many bytes fill it up; MPEG-1's has 12 bytes."""
    if tail[at + 4] >> 6 != 1:
        return at + 12
    return at + 14 + (tail[at + 13] & 7 if len(tail) > at + 13 else 0)
