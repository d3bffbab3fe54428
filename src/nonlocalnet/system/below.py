"""The files below a folder, through links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in a folder and below it, a folder's own before those of its folders, each by name.

    Links to folders are followed, but for one that leads to a folder above itself: what it shows is gone through
    already, and again below itself without end. Hidden files and folders are left out, and so is a folder that cannot
    be read.

    Args:
        folder: Where to look.
    """
    yield from _files(folder, ())


def _files(folder: Path, above: tuple[os.stat_result, ...]) -> Iterator[Path]:
    try:
        here = folder.stat()
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return
    if any(os.path.samestat(here, one) for one in above):
        return
    is_folder = {entry: os.path.isdir(entry) for entry in entries}  # noqa: PTH112  Path.is_dir raises for some
    yield from (entry for entry in entries if not is_folder[entry])
    for entry in filter(is_folder.__getitem__, entries):
        yield from _files(entry, (*above, here))
