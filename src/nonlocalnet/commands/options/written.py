"""Files that a command writes when everything is done: their places, looked at first."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

Input = str | os.PathLike[str] | None
"""A file that a command reads; None where it was not given."""


def writable(
    option: str, text: str | os.PathLike[str], *, suffixes: Sequence[str] = (), inputs: Iterable[Input] = ()
) -> Path:
    """The file that an option names, where one can be written: said before hours of work, not after.

    Args:
        option: As it is typed, for the error.
        text: What was given for it.
        suffixes: One of which it must have; any where there are none.
        inputs: What the command reads; None stands for an option that was not given.

    Raises:
        ValueError: It has another suffix, its folder is not there or not writable, it is no regular file, or an input.
    """
    path = Path(text)
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"{option} must end in {', '.join(suffixes)}, got {str(text)!r}")
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder; give a file in it")
    if path.exists() and not path.is_file():
        raise ValueError(f"{option} {path} is a device or a pipe, whose place no file takes; give a file")
    if not path.parent.is_dir():
        raise ValueError(f"{option} {path}: there is no folder {path.parent}; make it, or give another place")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ValueError(f"{option} {path}: the folder {path.parent} is not writable; give another place")
    keep_inputs(option, path, inputs)
    return path


def keep_inputs(option: str, path: Path, inputs: Iterable[Input]) -> None:
    """Refuse to write over what is read.

    Args:
        option: As it is typed, for the error.
        path: What is to be written.
        inputs: What is read; None stands for an option that was not given.

    Raises:
        ValueError: The file is one of the inputs, by whatever name.
    """
    if not path.exists():
        return
    for given in inputs:
        if given is not None and Path(given).exists() and path.samefile(given):
            raise ValueError(f"{option} {path} is read by this command, and would be written over; name another file")


def files_of(weights: str) -> list[Path]:
    """The file of weights, or where they are a folder, what is in it."""
    return list(Path(weights).iterdir()) if Path(weights).is_dir() else [Path(weights)]
