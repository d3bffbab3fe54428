"""Imported by the server that workers are forked from, and by nobody else: it changes what a worker says of an error.

A worker gets its work through a pipe from the process that asked for it. Where that one is stopped or killed in this
moment, the pipe ends too early, or its locks are gone: no error of anybody's, and the worker just does not begin.
Whatever else keeps it from beginning is said as ever. Errors after that do not come here.
"""

from __future__ import annotations

import pickle
import sys
from types import TracebackType


def say(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print an error, unless it is that the process which asked for this worker is gone.

    Args:
        kind: The error's class.
        error: What kept the worker from beginning.
        traceback: Where it was raised.
    """
    cut_off = isinstance(error, (EOFError, ConnectionError)) or (
        isinstance(error, pickle.UnpicklingError) and "truncated" in str(error)
    )
    # A lock of another process is opened by its name, and the error says none; a missing file of anybody's has one.
    lock_gone = isinstance(error, FileNotFoundError) and error.filename is None
    if not (cut_off or lock_gone):
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = say
