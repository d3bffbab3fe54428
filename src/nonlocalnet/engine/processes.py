"""The same work on several processes of one machine, and how far they are together."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

from nonlocalnet.engine.errors import ProcessError

T_co = TypeVar("T_co", covariant=True)


class Work(Protocol[T_co]):
    """What a process does; it must be importable or picklable, and so must what it returns."""

    def __call__(self, rank: int, *, on_item: Callable[[], object]) -> T_co:
        """Do the share of process `rank`; call `on_item` after each item."""
        ...


def run_in_processes(work: Work[T_co], *, processes: int, on_item: Callable[[], object]) -> list[T_co]:
    """Start fresh processes, one share of the work each.

    Args:
        work: Called once in each process.
        processes: How many, at least 1.
        on_item: Called here for every item that is done in any of them.

    Returns:
        What each process returned, in order of rank.

    Raises:
        ProcessError: If a process died.
        Exception: What the first failing process raised; the others are not waited for.
    """
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        done: queue.Queue[None] = manager.Queue()
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            futures = [pool.submit(_run, work, rank, done) for rank in range(processes)]
            try:
                _follow(futures, done, on_item)
                return [future.result() for future in futures]
            except BrokenProcessPool as error:
                raise ProcessError(
                    f"one of {processes} processes died, perhaps for want of memory; fewer processes, or smaller "
                    "data.test_batch_views, take less"
                ) from error
            except BaseException:
                for process in list(pool._processes.values()):
                    process.terminate()
                raise


def _follow(futures: list[Future[Any]], done: queue.Queue[None], on_item: Callable[[], object]) -> None:
    """Count items until every process is done or one has failed."""
    while not all(future.done() for future in futures):
        if any(future.done() and future.exception() is not None for future in futures):
            break
        try:
            done.get(timeout=0.2)
        except queue.Empty:
            continue
        on_item()
    while not done.empty():
        done.get()
        on_item()
    for future in futures:
        if future.done() and (error := future.exception()) is not None:
            raise error


def _run(work: Work[T_co], rank: int, done: queue.Queue[None]) -> T_co:
    return work(rank, on_item=lambda: done.put(None))
