"""What a video that cannot be read raises, and how PyAV's errors become that."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from av.error import FFmpegError

from nonlocalnet.system.errors import FileProblem


class VideoError(FileProblem):
    """A video file cannot be read; the message names the file and the reason."""


@contextmanager
def unreadable_where_it_fails(
    path: Path, what: str = "broken", *, problem: type[FileProblem] = VideoError
) -> Iterator[None]:
    """A block of calls of PyAV alone, whatever error of which means that the file cannot be read.

    FFmpeg's errors are of every kind of Python's (ValueError, PermissionError, LookupError, RuntimeError, ...), and
    PyAV adds its own, such as UnicodeDecodeError: a list of them would never be complete.

    Args:
        path: The file, for the message.
        what: What is wrong with it, for the message.
        problem: What is raised; a sound's is another.

    Raises:
        FileProblem: `problem`, of whatever was raised, except that a file is not there (FileNotFoundError of ours).
    """
    try:
        yield
    except FileProblem:
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError) and not isinstance(error, FFmpegError):
            raise
        raise problem(f"{path}: {what}: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """FFmpeg's or Python's words for it."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
