"""Why a run stops: each is one line for the user."""

from __future__ import annotations

import errno

_FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}
_BARRED = {getattr(errno, name) for name in ("EROFS", "EACCES", "EPERM") if hasattr(errno, name)}


def is_full(error: OSError) -> bool:
    """Whether a disk, or what a user may fill of it, is full."""
    return error.errno in _FULL


def reason_of(error: OSError) -> str:
    """The system's reason why a file or folder could not be used, and what to do where a disk is full.

    >>> reason_of(OSError(errno.ENOSPC, "No space left on device"))
    'No space left on device; free some on its disk or write to another one, then run it again'
    """
    advice = "; free some on its disk or write to another one, then run it again" if is_full(error) else ""
    return f"{error.strerror or error}{advice}"


def reason_of_output(error: OSError) -> str:
    """As `reason_of`, of something that was to be written.

    >>> reason_of_output(OSError(errno.EROFS, "Read-only file system"))
    'Read-only file system; give another place'
    """
    return reason_of(error) + ("; give another place" if error.errno in _BARRED else "")


def lacks_memory(error: BaseException) -> bool:
    """Whether more memory was asked for than there is, or than any machine has.

    PyTorch says so on a CPU by a RuntimeError like any other, whose text alone tells.
    """
    told = ("allocate memory", "not enough memory", "out of memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in told)
    )


class NonFiniteError(RuntimeError):
    """A loss, weight or score is not a finite number."""


class OutputError(ValueError):
    """A file or folder of the run cannot be written."""


class FileProblem(ValueError):  # noqa: N818  a problem of the user's file, not of this program
    """A file of the data cannot be used; a subclass says what it should have been."""


class ProcessError(RuntimeError):
    """One of several processes died."""
