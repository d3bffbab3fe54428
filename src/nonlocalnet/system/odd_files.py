"""Files that others wrote: regular ones only, and whatever is wrong with one is said in one sentence."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LONGEST_MESSAGE = 2000  # characters; ten misfitting tensors with their names and shapes take half of it


def require_file(path: str | os.PathLike[str]) -> None:
    """Refuse what is no regular file before it is opened: opening a pipe waits, and a device may have no end.

    Raises:
        FileNotFoundError: If there is nothing.
        ValueError: If it is a folder, a pipe, a socket or a device.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    if not path.is_file():
        what = (
            "a folder; name a file"
            if path.is_dir()
            else "a pipe or a device, which is not read: copy its content to a file"
        )
        raise ValueError(f"{path} is {what}")


def parse_json(content: str | bytes) -> Any:
    """What JSON holds.

    Raises:
        UnicodeDecodeError: It is not UTF-8.
        ValueError: It is not JSON, is nested too deep, or holds a number of more digits than Python reads.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("its lists or objects are nested too deep") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:
        raise ValueError("it holds a number of thousands of digits") from None


def short(text: str, at_most: int = _LONGEST_MESSAGE) -> str:
    """A text, or its beginning and how much more there is.

    >>> short("a" * 30, at_most=10)
    'aaaaaaaaaa... (20 characters more)'
    """
    return text if len(text) <= at_most else f"{text[:at_most]}... ({len(text) - at_most:,} characters more)"


def said_by(error: BaseException, at_most: int = _LONGEST_MESSAGE) -> str:
    """What an exception says, as one line and `short`; its kind where it says nothing."""
    return short(_one_line(error) or type(error).__name__, at_most)


def _one_line(error: BaseException) -> str:
    """Without the frames of C++ that PyTorch may add."""
    return " ".join(str(error).split()).partition(" Exception raised from ")[0]


@contextmanager
def one_sentence(path: str | os.PathLike[str]) -> Iterator[None]:
    """Everything that reading a file of weights can end in, as one sentence that names the file.

    A file can hold anything in any place, and the libraries below (zipfile, pickle, torch, yaml, numpy) raise what
    their code happens to meet: what is no error for users yet becomes one here, with the cause behind it.

    Raises:
        ValueError: In place of any other exception.
        OSError: As it came; a file that cannot be read says why.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        reason = _one_line(error)
        if isinstance(error, ValueError) and str(path) in reason:
            if len(reason) <= _LONGEST_MESSAGE:
                raise
            raise ValueError(short(reason)) from error
        # What our own checks say is a sentence; of anything else its kind says more than its text alone.
        named = reason if type(error) is ValueError else f"{type(error).__name__} {reason}".rstrip()
        raise ValueError(short(f"{path} holds what no file of weights does: {named}")) from error
