"""Work on many files in several processes, which a file that crashes its decoder does not end."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_WAITING_EACH = 4  # items handed out beyond those in work, for each process


class Done(NamedTuple, Generic[Result]):
    """One finished item.

    Attributes:
        position: Its place among the items.
        result: What the function returned; None where the process died of it.
    """

    position: int
    result: Result | None


def choose_workers(workers: int | None) -> int:
    """The number of processes: as many as this one may use cores, where it is not given.

    Raises:
        ValueError: It is less than 1.
    """
    if workers is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    return workers


def run_each(function: Callable[[Item], Result], items: Sequence[Item], *, workers: int) -> Iterator[Done[Result]]:
    """Yield results as they come. One worker is this process itself.

    Args:
        function: A module's function; its errors are raised here.
        items: What it is called with, one by one.
        workers: Processes.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from (Done(position, function(item)) for position, item in enumerate(items))
        return
    waiting = deque(range(len(items)))
    while waiting:
        died_with: list[int] = []
        with _pool(workers) as pool:
            running: dict[Future[Result], int] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < workers * (1 + _WAITING_EACH):
                        position = waiting.popleft()
                        running[pool.submit(function, items[position])] = position
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        result = future.result()
                        yield Done(running.pop(future), result)
            except BrokenProcessPool:
                died_with = sorted(running.values())
        # Which of them it was is not known, so each is tried in a process of its own.
        for position in died_with:
            with _pool(1) as pool:
                try:
                    yield Done(position, pool.submit(function, items[position]).result())
                except BrokenProcessPool:
                    yield Done(position, None)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Not forked: torch and FFmpeg have threads here, and a forked copy of their locks may never open.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
