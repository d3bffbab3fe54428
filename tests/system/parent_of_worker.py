"""Run as a script: starts a worker that would wait for a minute or longer, prints its process id, and sleeps itself.

python parent_of_worker.py process|loader|pool watched|unwatched

The loader's worker misses the end of its parent as it does where that is killed before PyTorch's watch begins.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from torch.utils.data import DataLoader
from torch.utils.data._utils import worker

from nonlocalnet.engine.loaders import make_loader
from nonlocalnet.system.processes import end_with_parent, run_each


class MissedParent:
    def is_alive(self) -> bool:
        return True


def own_pid(_: list[int]) -> int:
    return os.getpid()


def work(watched: bool, ready: Connection) -> None:
    if watched:
        end_with_parent()
    ready.send("ready")
    time.sleep(60)


def start_process(watched: bool) -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(watched, there))
    process.start()
    here.recv()
    print(process.pid, flush=True)
    time.sleep(60)


def print_pid(_: int) -> None:
    print(os.getpid(), flush=True)
    time.sleep(60)


def start_pool(watched: bool) -> None:
    if watched:
        list(run_each(print_pid, [1, 2], workers=2))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(print_pid, 1).result()


def start_loader(watched: bool) -> None:
    worker.ManagerWatchdog = MissedParent  # pyright: ignore[reportAttributeAccessIssue]
    numbers: Any = range(100)
    ours, plain = partial(make_loader, workers=1), partial(DataLoader, num_workers=1)
    for pid in (ours if watched else plain)(numbers, collate_fn=own_pid):
        print(pid, flush=True)
        time.sleep(60)


if __name__ == "__main__":
    {"process": start_process, "loader": start_loader, "pool": start_pool}[sys.argv[1]](sys.argv[2] == "watched")
