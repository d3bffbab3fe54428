"""Locks of open files and folders, which end with their process."""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def is_locked(handle: int) -> bool:
    """Whether nobody else has the lock of an open file or folder: this process takes it, where there are locks."""
    return take_lock(handle) is not False


def take_lock(handle: int) -> bool | None:
    """Whether this process has the lock now; None where there are no locks: on Windows, and some file systems."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def is_at(handle: int, path: Path) -> bool:
    """Whether the opened file still has this name: its writer may have moved it before the lock came."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
