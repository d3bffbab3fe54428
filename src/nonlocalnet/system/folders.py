"""Folders that appear under their name only when they are whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nonlocalnet.system.errors import OutputError
from nonlocalnet.system.files import fitting, full_disk_named, make_folder, output_named
from nonlocalnet.system.locks import is_at, take_lock

_STAGING = ".nonlocalnet-partial"
_ROOM_FOR_MORE = 40  # bytes: the point, this ending and what mkdtemp adds


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `target` when the block ends, and is removed where it fails.

    What a killed process left of the same target is removed at the next call, where the file system has locks.

    Args:
        target: A new or empty folder; the folders above it are made.

    Raises:
        ValueError: `target` is a file, or holds anything.
        OutputError: Another process fills the same target, it cannot be made, or the disk is full.
    """
    _refuse_full(target)
    resolved = target.resolve()
    with full_disk_named(target):
        make_folder(resolved.parent, to_write=target)
        with _own_staging(resolved) as staging:
            _refuse_full(target)  # another process may have been about to end
            yield staging
            _move_into_place(staging, resolved)


def _refuse_full(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} exists and is not a folder; give another folder")
    if target.is_dir() and any(target.iterdir()):
        raise ValueError(f"{target} exists and is not empty; give a new or empty folder, or remove it first")


@contextlib.contextmanager
def _own_staging(target: Path) -> Iterator[Path]:
    """An empty folder beside the target, hence on the same file system: the move at the end copies nothing.

    It has one name, and is locked as long as this process fills it: who comes second learns so at once, and what a
    killed process left is cleared. Where there are no locks, or something else has the name, it is one of its own.
    """
    staging = target.with_name(f".{fitting(target.name, more=_ROOM_FOR_MORE)}{_STAGING}")
    with output_named(target):
        handle = _taken(staging, target)
        if handle is None:
            staging = Path(tempfile.mkdtemp(prefix=f"{staging.name}-", dir=target.parent))
            staging.chmod(0o755)  # mkdtemp makes private folders
    try:
        yield staging
    finally:
        # After the move the name may be another's.
        if handle is None or is_at(handle, staging):
            shutil.rmtree(staging, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _taken(staging: Path, target: Path) -> int | None:
    """A handle of the folder of this name, locked and emptied; None where that cannot be.

    Raises:
        OutputError: Another process has the lock.
        OSError: It cannot be made.
    """
    if os.name != "posix":  # Windows opens no folders
        return None
    while True:
        with contextlib.suppress(FileExistsError):
            staging.mkdir()
        try:
            handle = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # its owner is done
        except OSError:
            return None
        mine = take_lock(handle)
        if mine and is_at(handle, staging):
            try:
                _clear(staging)
            except OSError:
                os.close(handle)  # or this process would hold the lock to its end
                raise
            return handle
        os.close(handle)
        if mine is None:
            with contextlib.suppress(OSError):  # it is made by somebody else, and full
                staging.rmdir()
            return None
        if mine is False:
            raise held_by_another(target)


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def held_by_another(folder: Path) -> OutputError:
    """What the second comer to a folder is told."""
    return OutputError(f"another process is writing into {folder}; wait for its end, or give another folder")


def _move_into_place(staging: Path, target: Path) -> None:
    if not target.exists():
        staging.rename(target)
        return
    if any(target.iterdir()):
        raise ValueError(f"{target} was written by another process meanwhile; what it wrote is untouched")
    # An empty folder is kept, since it may be a mount point or somebody's working folder; the lists come last.
    for entry in sorted(staging.iterdir(), key=lambda entry: (entry.is_file(), entry.name)):
        entry.rename(target / entry.name)
