"""The same work on several processes of one machine, and how far they are together."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from multiprocessing.queues import SimpleQueue
from typing import Any, Protocol, TypeVar

from nonlocalnet.system.errors import ProcessError
from nonlocalnet.system.orphans import end_with_parent

_SECONDS_BETWEEN_LOOKS = 0.2
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
    context = _context(work)
    done: SimpleQueue[int] = context.SimpleQueue()
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_keep, initargs=(done,)) as pool:
        futures = [pool.submit(_run, work, rank) for rank in range(processes)]
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


def _context(work: object) -> BaseContext:
    """Processes that share no threads or CUDA state with this one.

    On Linux they are forked from one that has only imported the work's module: importing PyTorch takes seconds.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([type(work).__module__])
    return context


def _follow(futures: list[Future[Any]], done: SimpleQueue[int], on_item: Callable[[], object]) -> None:
    """Count items until every process is done or one has failed."""
    finished = False
    while not finished:
        failed = [future for future in futures if future.done() and future.exception() is not None]
        finished = bool(failed) or all(future.done() for future in futures)
        while not done.empty():
            done.get()
            on_item()
        if not finished:
            wait(futures, timeout=_SECONDS_BETWEEN_LOOKS, return_when=FIRST_EXCEPTION)


# The queue of this process, where it was started by `run_in_processes`.
_done: SimpleQueue[int] | None = None


def _keep(done: SimpleQueue[int]) -> None:
    global _done
    _done = done
    end_with_parent()


def _run(work: Work[T_co], rank: int) -> T_co:
    queue = _done
    assert queue is not None
    return work(rank, on_item=lambda: queue.put(rank))
