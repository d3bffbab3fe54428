"""Files that were sent here: without a name where the system can, so that no end of this process leaves any.

On Linux a file is opened that stands in no folder; the working process reads it by this process's handle. Elsewhere it
stands in a private folder, which is locked while this process lives, and which the next start removes.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

from nonlocalnet.system.folder_lock import hold_folder, release_folder
from nonlocalnet.system.locks import is_locked

_PREFIX = "nonlocalnet-serve-"
_HANDLES = Path("/proc/self/fd")


class Upload:
    """One file. Its path is ours; no name that was sent with it is part of it.

    Args:
        file: Open for writing.
        path: Where another process of this user finds it.
        named: Whether it stands in a folder, and is removed when it is closed.
    """

    def __init__(self, file: BinaryIO, path: Path, *, named: bool) -> None:
        self._file, self.path, self._named = file, path, named

    def write(self, content: bytes) -> None:
        """Add to its end; OSError where the disk is full."""
        self._file.write(content)

    def close(self) -> None:
        """Let it go, with its content."""
        if not self._file.closed:
            self._file.close()
            if self._named:
                self.path.unlink(missing_ok=True)


class Uploads:
    """Where they are kept; use it in a `with` statement.

    Args:
        named: Whether files have names; None for where they must.
    """

    def __init__(self, *, named: bool | None = None) -> None:
        self._named = not _HANDLES.is_dir() if named is None else named
        self._folder: Path | None = None
        self._numbers = itertools.count()

    def __enter__(self) -> Uploads:
        """Remove what killed servers left; make a folder, where one is needed."""
        _remove_left(Path(tempfile.gettempdir()))
        if self._named:
            self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            hold_folder(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folder."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            release_folder(self._folder)

    def make(self) -> Upload:
        """A new, empty file; OSError where there can be none."""
        if self._folder is None:
            file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  the upload closes it
            return Upload(file, Path(f"/proc/{os.getpid()}/fd/{file.fileno()}"), named=False)
        path = self._folder / str(next(self._numbers))
        return Upload(path.open("xb", buffering=0), path, named=True)


def _remove_left(temporary: Path) -> None:
    for folder in temporary.glob(f"{_PREFIX}*"):
        # Anybody may write into this folder: only real folders of this user are touched, and none that is held.
        with contextlib.suppress(OSError):
            if folder.is_symlink() or folder.lstat().st_uid != os.getuid():
                continue
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if is_locked(handle):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)
