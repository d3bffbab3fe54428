"""Files that appear under their name only when they are whole."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from nonlocalnet.system.errors import OutputError, is_full, reason_of_output
from nonlocalnet.system.locks import is_at, is_locked

_LONGEST_NAME = 255  # bytes, of nearly every file system
_ROOM_FOR_MORE = 20  # bytes that `partial_path` adds
_MARK = r"\.partial(-\d+)?"  # what it adds, but for the point in front


def partial_path(path: Path, number: int = 1) -> Path:
    """Where `whole_file` has a file written: beside it, with the same suffix.

    The names are few: what a killed process left behind is overwritten by the next write, not collected. Where the
    file's own name leaves no room for more, a digest stands for it.

    Args:
        path: The file.
        number: From 1; higher ones where others are writing the same file.

    >>> partial_path(Path("videos/a.mp4")).as_posix()
    'videos/.a.partial.mp4'
    """
    return path.with_name(f".{_short_stem(path)}.partial{'' if number == 1 else f'-{number}'}{path.suffix}")


def _short_stem(path: Path) -> str:
    """The file's name without its suffix, or a digest of it where `partial_path` would be too long."""
    return fitting(path.stem, more=_ROOM_FOR_MORE + len(os.fsencode(path.suffix)))


def fitting(name: str, *, more: int) -> str:
    """A name to which so many bytes are added: itself, or a digest of it where that would be longer than names can be.

    >>> fitting("a", more=20)
    'a'
    """
    if len(os.fsencode(name)) + more <= _LONGEST_NAME:
        return name
    return hashlib.sha256(os.fsencode(name)).hexdigest()


def is_partial_of(found: Path, path: Path) -> bool:
    """Whether a file is one of those that `partial_path` names."""
    form = rf"\.{re.escape(_short_stem(path))}{_MARK}{re.escape(path.suffix)}"
    return found.parent == path.parent and re.fullmatch(form, found.name) is not None


def is_partial(name: str) -> bool:
    """Whether a file is named as `partial_path` names one: of a killed process, unless it is being written.

    >>> is_partial(".a.partial.mp4"), is_partial(".a.partial-2.mp4"), is_partial("a.partial.mp4")
    (True, True, False)
    """
    return re.fullmatch(rf"\..+{_MARK}(\.[^.]*)?", name) is not None


@contextlib.contextmanager
def whole_file(path: Path, *, new: bool = False) -> Iterator[Path]:
    """A path to write to; what is written there becomes `path` when the block ends, and goes where it fails.

    A reader finds, whenever the process dies, what stood there before or the whole new file.

    Args:
        path: The file; its folder must exist. Of a link, what it leads to is written, and it stays.
        new: Refuse to take the place of a file that another process has put there meanwhile.

    Raises:
        OutputError: It cannot be begun, the disk is full, there is such a file, or it is a device or a pipe, whose
            place no file may take.
        OSError: The file cannot be brought to the disk or to its place.
    """
    if path.is_symlink():
        path = path.resolve()
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OutputError(f"cannot write {path}: it is a device or a pipe, whose place no file takes; name a file")
    with full_disk_named(path), _own_partial(path) as partial:
        moved = False
        try:
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            if not (new and _is_named_newly(partial, path)):
                partial.replace(path)
                moved = True
        finally:
            if not moved:  # afterwards the name may be another's
                with contextlib.suppress(OSError):
                    partial.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _is_named_newly(partial: Path, path: Path) -> bool:
    """Give a file its second name, which fails where there is one; False where a file system has no second names.

    Of two processes that do it at once, one does it.
    """
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        raise OutputError(f"{path} was written by another process meanwhile; what it wrote is untouched") from None
    except OSError:
        return False
    return True


@contextlib.contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """The system says of a file that is open already only that the disk is full, not which file it was."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise _cannot_write(path, error) from error
        raise


@contextlib.contextmanager
def output_named(path: Path) -> Iterator[None]:
    """The system names a file of this program's own where what is to be written at `path` cannot be begun.

    Raises:
        OutputError: In the place of any `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise _cannot_write(path, error) from error


def make_folder(folder: Path, *, to_write: Path | None = None) -> None:
    """Make a folder and those above it, unless it is there.

    Args:
        folder: The folder.
        to_write: What is to be written in it, for the error; None for the folder itself.

    Raises:
        OutputError: It cannot be made.
    """
    with output_named(to_write or folder):
        folder.mkdir(parents=True, exist_ok=True)


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {reason_of_output(error)}; what stood there is untouched")


@contextlib.contextmanager
def _own_partial(path: Path) -> Iterator[Path]:
    """The first partial name that nobody else is writing to: a lock that dies with its process says who is."""
    for number in itertools.count(1):
        partial = partial_path(path, number)
        with output_named(path):
            handle = os.open(partial, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            if is_locked(handle) and is_at(handle, partial):
                if os.fstat(handle).st_nlink > 1:  # a killed `_is_named_newly`: its content is a whole file's
                    partial.unlink()
                    continue
                os.ftruncate(handle, 0)
                if os.name != "posix":  # Windows moves no file that is open
                    os.close(handle)
                    handle = -1
                yield partial
                return
        finally:
            if handle >= 0:
                os.close(handle)


def write_atomically(path: Path, content: bytes | io.BytesIO | str, *, new: bool = False) -> None:
    """Write a file so that a reader, whenever the process dies, finds the old content or the whole new content.

    Args:
        path: File to write; its folder must exist.
        content: As `write_content` takes it.
        new: As `whole_file` takes it.

    Raises:
        OutputError: Names the path and the system's reason (full disk, read-only folder, ...), or the file is not new.
    """
    with output_named(path), whole_file(path, new=new) as partial:
        write_content(partial, content)


def write_content(path: Path, content: bytes | io.BytesIO | str) -> None:
    """Write a file, in parts under its own name; the system's error where it cannot be written.

    Args:
        path: File to write; its folder must exist.
        content: The whole content, of a buffer without a copy; text is encoded as UTF-8, and what UTF-8 has not (names
            of files that are no UTF-8) as Python escapes it.
    """
    with path.open("wb") as file:
        if not isinstance(content, io.BytesIO):
            file.write(encoded(content))
            return
        # Let go of at once: kept alive by the traceback of a full disk and collected after its buffer, the view is an
        # error that Python 3.13 reports and Python 3.12.1 died of.
        with content.getbuffer() as view:
            file.write(view)


def encoded(content: bytes | str) -> bytes:
    """What `write_content` writes."""
    return content.encode(errors="backslashreplace") if isinstance(content, str) else content


def append_line(path: Path, line: str) -> None:
    """Bring one more line to the end of a file and to the disk.

    A process that dies in it leaves a part of the line, without its end.

    Args:
        path: File to write; it is made where it is not there.
        line: Without the line end; written as `write_atomically` writes text.

    Raises:
        OutputError: Names the path and the system's reason; the file is as long as before.
    """
    with output_named(path), path.open("ab") as file:
        before = file.tell()
        try:
            file.write(encoded(line + "\n"))
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), before)
            raise


def _sync_folder(folder: Path) -> None:
    # The rename itself must reach the disk; some file systems cannot open folders, and then there is nothing to do.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
