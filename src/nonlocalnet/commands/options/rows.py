"""Files that a command writes when everything is done: their place is looked at first, and rows as csv."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def writable(option: str, text: str, *, suffixes: Sequence[str] = ()) -> Path:
    """The file that an option names, where one can be written: said before hours of work, not after.

    Args:
        option: As it is typed, for the error.
        text: What was given for it.
        suffixes: One of which it must have; any where there are none.

    Raises:
        ValueError: It has another suffix, its folder is not there or not writable, or it is a folder.
    """
    path = Path(text)
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"{option} must end in {', '.join(suffixes)}, got {text!r}")
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder; give a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"{option} {path}: there is no folder {path.parent}; make it, or give another place")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ValueError(f"{option} {path}: the folder {path.parent} is not writable; give another place")
    return path


def rows_as_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A header and rows as the text of a csv file."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
