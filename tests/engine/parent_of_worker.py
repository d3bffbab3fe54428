"""Run as a script: starts a worker that would sleep for a minute, prints its process id, and sleeps itself.

python parent_of_worker.py watched|unwatched
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from multiprocessing.connection import Connection


def work(watched: bool, ready: Connection) -> None:
    if watched:
        from nonlocalnet.engine.orphans import end_with_parent

        end_with_parent()
    ready.send("ready")
    time.sleep(60)


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(sys.argv[1] == "watched", there))
    process.start()
    here.recv()
    print(process.pid, flush=True)
    time.sleep(60)
