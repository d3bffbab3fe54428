"""Output folders that one process writes into at a time."""

from __future__ import annotations

import os
import time
from pathlib import Path

from nonlocalnet.system.folders import held_by_another
from nonlocalnet.system.locks import is_locked
from nonlocalnet.system.processes import is_first_process

_TRIES, _SECONDS_BETWEEN = 10, 0.1
_held: dict[Path, int] = {}


def hold_folder(folder: Path) -> None:
    """Keep other processes from writing into a folder, until `release_folder` or this process ends, however it ends.

    The folder itself is locked, so nothing is left in it. A process may hold a folder again. Of several processes of a
    run the first holds it. Where a file system locks no folders (NFS), nothing is held.

    Args:
        folder: An existing folder.

    Raises:
        OutputError: Another process holds it.
    """
    key = folder.resolve()
    if key in _held or os.name != "posix" or not is_first_process():
        return
    handle = os.open(folder, os.O_RDONLY)
    # For a moment more than once: a worker that was being forked when its parent was killed lets go at once.
    for _ in range(_TRIES):
        if is_locked(handle):
            break
        time.sleep(_SECONDS_BETWEEN)
    else:
        os.close(handle)
        raise held_by_another(folder)
    _held[key] = handle


def require_not_held(folder: Path) -> None:
    """Refuse a folder that another process writes into; nothing is held.

    Raises:
        OutputError: Another process holds it.
    """
    if folder.resolve() in _held or os.name != "posix" or not is_first_process():
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not is_locked(handle):
            raise held_by_another(folder)
    finally:
        os.close(handle)


def release_folder(folder: Path) -> None:
    """Let others write into a folder again; nothing where it is not held."""
    handle = _held.pop(folder.resolve(), None)
    if handle is not None:
        os.close(handle)


def _forget() -> None:
    # A worker that lives a moment longer than its parent must not keep the folder.
    while _held:
        os.close(_held.popitem()[1])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
