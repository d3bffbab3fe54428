"""A video, a sound or a picture where another kind of file is wanted is called what it is."""

from __future__ import annotations

import os
import re
from pathlib import Path

# The first bytes of files -> what they are. Each holds a byte that no text does, or a word that begins none.
_BEGINNINGS = (
    (rb"\x00.{3}ftyp(avif|avis|heic|heix|mif1|msf1)", "a picture (HEIF)"),
    (rb"\x00.{3}ftypM4A", "a sound (m4a)"),
    (rb"\x00.{3}(ftyp|moov|mdat|wide|free|skip)", "a video (mp4 or mov)"),
    (rb"\x1aE\xdf\xa3", "a video (Matroska or WebM)"),
    (rb"RIFF.{4}AVI ", "a video (avi)"),
    (rb"RIFF.{4}WAVE", "a sound (wav)"),
    (rb"RIFF.{4}WEBP", "a picture (WebP)"),
    (rb"FLV\x01", "a video (flv)"),
    (rb"\x00\x00\x01[\xba\xb3]", "a video (mpeg)"),
    (rb"G(?=.{0,186}[\x00\xff]).{187}G", "a video (MPEG-TS)"),
    (rb"0&\xb2u\x8ef\xcf\x11", "a video (wmv)"),
    (rb"OggS\x00", "a sound or a video (Ogg)"),
    (rb"fLaC\x00", "a sound (FLAC)"),
    (rb"ID3[\x02-\x04]", "a sound (mp3)"),
    (rb"\x89PNG\r\n", "a picture (PNG)"),
    (rb"\xff\xd8\xff", "a picture (JPEG)"),
    (rb"GIF8[79]a", "a picture (GIF)"),
    (rb"%PDF-", "a PDF"),
)
_LOOKED_AT = 256  # bytes


def refuse_media(path: str | os.PathLike[str], *, expected: str) -> None:
    """Refuse a file that begins as a video, a sound, a picture or a PDF does.

    Args:
        path: A regular file.
        expected: What is wanted in its place, such as "a list of videos".

    Raises:
        ValueError: It is one; says which.
    """
    with Path(path).open("rb") as file:
        start = file.read(_LOOKED_AT)
    for beginning, what in _BEGINNINGS:
        if re.match(beginning, start, re.DOTALL):
            raise ValueError(f"{path} is {what}, and {expected} is expected")
