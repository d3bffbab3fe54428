"""The zip archive of a file of `torch.save`: its entries held against the file, and their checksums against them."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

_HEADER = 30  # bytes of an entry's own header, before its name


def check_archive(path: Path) -> bytes:
    """Check an archive whose reader, PyTorch's, looks at no checksum.

    Returns:
        Its entry data.pkl, the only pickle in it.

    Raises:
        ValueError: If an entry is compressed, lies over another or is not as its checksum says, or there is no
            data.pkl.
        zipfile.BadZipFile: If it is no whole archive.
    """
    with zipfile.ZipFile(path) as archive:
        entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
        end = 0
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                # It could unfold to any size.
                raise ValueError(
                    f"{path} is refused: its entry {entry.filename} is compressed, which PyTorch's are not"
                )
            if entry.header_offset < end:
                # A file could unfold to many times its size.
                raise ValueError(f"{path} is refused: its entry {entry.filename} lies over another")
            end = entry.header_offset + _HEADER + len(entry.filename.encode()) + entry.file_size
        if end > archive.start_dir:
            raise ValueError(f"{path} is refused: its entry {entries[-1].filename} is longer than the file")
        pickles = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(
                f"{path} is a zip archive that is truncated or not PyTorch's: it has {len(pickles)} entries data.pkl"
            )
        # Where a program turned the checksums off (torch.serialization.set_crc32_options), all of them are zero.
        damaged = archive.testzip() if any(entry.CRC for entry in entries) else None
        if damaged is not None:
            raise ValueError(f"{path} is damaged: its entry {damaged} is not as its checksum says")
    return _stored(path, pickles[0])


def _stored(path: Path, entry: zipfile.ZipInfo) -> bytes:
    """The content of an entry, whose header is as long as it says, checksum or none."""
    with path.open("rb") as file:
        file.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
        file.seek(name + extra, os.SEEK_CUR)
        return file.read(entry.file_size)
