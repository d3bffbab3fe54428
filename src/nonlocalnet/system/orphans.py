"""Worker processes that end with the process that started them, however it ended."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.connection import wait


def end_with_parent() -> None:
    """End this process as soon as the one that started it by `multiprocessing` is gone, killed ones included.

    A pool's worker waits for its next task for ever, and one that computes would compute for nobody.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "called in a worker only"
    threading.Thread(target=_watch, args=(parent.sentinel,), daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    # At once: no clean-up makes sense any more, and other threads may hang on pipes that nobody reads.
    os._exit(1)
