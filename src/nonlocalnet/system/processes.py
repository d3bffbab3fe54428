"""Work in several processes of one machine, which end with the process that started them, however it ended."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for_futures
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.queues import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from typing_extensions import NamedTuple  # a generic one, which Python 3.10 has not

from nonlocalnet.system.errors import ProcessError
from nonlocalnet.system.stops import Stopped, blocked, leave_stops_to_the_parent

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

Item = TypeVar("Item")
Result = TypeVar("Result")
T_co = TypeVar("T_co", covariant=True)

_WAITING_EACH = 4  # items handed out beyond those in work, for each process
_SECONDS_BETWEEN_LOOKS = 0.2


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


def is_first_process() -> bool:
    """Whether this process writes the files: true unless a launcher numbered it otherwise."""
    return all(int(os.environ.get(name, "0")) == 0 for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


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


class Done(NamedTuple, Generic[Result]):
    """One finished item.

    Attributes:
        position: Its place among the items.
        result: What the function returned; None where the process died of it.
    """

    position: int
    result: Result | None


def run_each(function: Callable[[Item], Result], items: Sequence[Item], *, workers: int) -> Iterator[Done[Result]]:
    """Work on many items, of which one that crashes its process ends no other. Yields results as they come.

    Args:
        function: A module's function; its errors are raised here.
        items: What it is called with, one by one.
        workers: Processes. One worker is this process itself.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from (Done(position, function(item)) for position, item in enumerate(items))
        return
    module = function.__module__
    waiting = deque(range(len(items)))
    while waiting:
        died_with: list[int] = []
        with _make_pool(workers, module) as pool:
            running: dict[Future[Result], int] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < workers * (1 + _WAITING_EACH):
                        position = waiting.popleft()
                        running[pool.submit(function, items[position])] = position
                    finished, _ = wait_for_futures(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        result = future.result()
                        yield Done(running.pop(future), result)
            except BrokenProcessPool:
                died_with = sorted(running.values())
            except BaseException:
                _terminate(pool)
                raise
        # Which of them it was is not known, so each is tried in a process of its own.
        for position in died_with:
            with _make_pool(1, module) as pool:
                try:
                    yield Done(position, pool.submit(function, items[position]).result())
                except BrokenProcessPool:
                    yield Done(position, None)


class Work(Protocol[T_co]):
    """What `run_in_processes` divides; it must be importable or picklable, and so must what it returns."""

    def __call__(self, rank: int, *, on_item: Callable[[], object]) -> T_co:
        """Do share number `rank` of the work; call `on_item` after each item."""
        ...


def run_in_processes(
    work: Work[T_co],
    *,
    shares: int,
    processes: int,
    on_item: Callable[[int], object],
    advice: str = "fewer processes take less",
) -> list[T_co]:
    """Divide work into shares, and do several of them at once.

    Args:
        work: Called once for each share.
        shares: How many, at least 1.
        processes: Processes at once; there are no more than shares.
        on_item: Called here for every item that is done, with the number of its share.
        advice: What the error says of a process that died for want of memory.

    Returns:
        What each share returned, in order.

    Raises:
        ProcessError: If a process died.
        Exception: What the first failing share raised; the others are not waited for.
    """
    processes = min(processes, shares)
    context = fresh_context(type(work).__module__)
    done: SimpleQueue[int] = context.SimpleQueue()
    with _make_pool(processes, type(work).__module__, begin=_keep, begin_with=(done,)) as pool:
        futures = [pool.submit(_run, work, rank) for rank in range(shares)]
        try:
            _follow(futures, done, on_item)
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise ProcessError(f"one of {processes} processes died, perhaps for want of memory; {advice}") from error
        except BaseException:
            _terminate(pool)
            raise


def _terminate(pool: ProcessPoolExecutor) -> None:
    for process in list(pool._processes.values()):
        process.terminate()


def _make_pool(
    workers: int, module: str, *, begin: Callable[..., None] | None = None, begin_with: tuple[Any, ...] = ()
) -> ProcessPoolExecutor:
    """A pool of fresh processes that end with this one.

    Args:
        workers: How many.
        module: Where their work is defined.
        begin: What each does first.
        begin_with: Its arguments.
    """
    return ProcessPoolExecutor(
        workers, mp_context=fresh_context(module), initializer=_begin, initargs=(begin, begin_with)
    )


def _begin(begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    leave_stops_to_the_parent()
    end_with_parent()
    if begin is not None:
        begin(*arguments)


def fresh_context(module: str) -> SpawnContext | ForkServerContext:
    """Processes that share no threads, locks or CUDA state with this one: torch and FFmpeg have threads here.

    On Linux they are forked from one that has only imported this module and the work's, which takes seconds.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nonlocalnet.system.unbegun", __name__, module])
    with blocked():  # Ctrl-C is no business of the processes, not even while they import
        forkserver.ensure_running()
    return context


def _follow(futures: list[Future[Any]], done: SimpleQueue[int], on_item: Callable[[int], object]) -> None:
    """Count items until every share is done or one has failed."""
    finished = False
    while not finished:
        failed = [future for future in futures if future.done() and future.exception() is not None]
        finished = bool(failed) or all(future.done() for future in futures)
        while not done.empty():
            on_item(done.get())
        if not finished:
            wait_for_futures(futures, timeout=_SECONDS_BETWEEN_LOOKS, return_when=FIRST_EXCEPTION)


# The queue of this process, where it was started by `run_in_processes`.
_done: SimpleQueue[int] | None = None


def _keep(done: SimpleQueue[int]) -> None:
    global _done
    _done = done


def _run(work: Work[T_co], rank: int) -> T_co:
    queue = _done
    assert queue is not None
    try:
        return work(rank, on_item=lambda: queue.put(rank))
    except Stopped as stopped:
        # The pool would hand it on as a result, and give this process the next share.
        os._exit(int(stopped.code or 0))
