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


def end_loader_with_parent(_worker: int) -> None:
    """`worker_init_fn` of a DataLoader whose workers end as `end_with_parent` says.

    PyTorch's own watch takes for the parent whoever it finds when it begins. Where the parent was killed just before,
    that is the process that adopted the worker, and the worker waits for ever with the dead one's output held open.
    """
    end_with_parent()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    # At once: no clean-up makes sense any more, and other threads may hang on pipes that nobody reads.
    os._exit(1)
