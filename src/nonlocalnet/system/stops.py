"""The signals that ask a process to end (Ctrl-C, SIGTERM, SIGHUP), with one line and an exit code each.

A handler of Python's runs only between two instructions of the main thread, which may be inside a library for minutes,
or for ever where it waits for another process. So a thread hears of the signal too, and ends the process when the time
to end in good order is over.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
GRACE_SECONDS = 8.0  # for a checkpoint; schedulers and containers kill after 10 or more
_OUTLAST_SECONDS = 20  # longer than the process that a worker works for


class Stopped(SystemExit):
    """A signal asked this process to end; 128 + its number is the exit code, as shells have it.

    No error: like KeyboardInterrupt it passes whoever catches those.

    Args:
        signum: The signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)


class Stops:
    """What has been asked of this process, and what it says when it ends.

    Attributes:
        asked: The first signal; None as long as there is none.
        where: How far the work is, for the line that is printed.
        speaks: Whether this process prints the line; of several only one does.
        last: Called before a process that does not end by itself is ended.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.where: Callable[[], str] = str
        self.speaks = True
        self.last: Callable[[], object] = str
        self._postponed = 0
        self._raised = False
        self._over = threading.Event()
        self._said = threading.Lock()

    @contextlib.contextmanager
    def postponed(self, afterwards: str | None = None) -> Iterator[None]:
        """Let a signal only be noted in `asked`, for work that ends itself in good order.

        Args:
            afterwards: In the place of `where` for such a signal, if the work is done.

        Raises:
            Stopped: At the end, if a signal came.
        """
        self._postponed += 1
        try:
            yield
        finally:
            self._postponed -= 1
        if self.asked is not None:
            if afterwards is not None:
                self.where = lambda: afterwards
            raise Stopped(self.asked)

    def install(self) -> None:
        """Hear the signals; again where a library has put its own handlers in place. Ignored ones stay ignored."""
        for signum in SIGNALS:
            if signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, self._on_signal)

    def say(self, signum: int) -> None:
        """Print what stopped this process and where, once."""
        if self._said.acquire(blocking=False) and self.speaks:
            name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
            sys.stderr.write(f"nonlocalnet: stopped by {name}{self.where()}\n")
            sys.stderr.flush()

    def end(self, signum: int) -> None:
        """End this process at once, from any thread."""
        self.last()
        self.say(signum)
        os._exit(128 + signum)

    def finish(self) -> None:
        """Call the thread off: this process has ended its work."""
        self._over.set()

    def watch(self, heard: socket.socket) -> None:
        """End this process some time after the first signal; reads the numbers of signals from `heard`."""
        with heard:
            while numbers := heard.recv(64):
                signum = next((number for number in numbers if number in SIGNALS), None)
                if signum is not None:
                    self.asked = self.asked or signum
                    if not self._over.wait(GRACE_SECONDS):
                        self.end(self.asked)
                    return

    def _on_signal(self, signum: int, _frame: FrameType | None) -> None:
        self.asked = self.asked or signum
        # A second signal changes nothing: launchers hand on what the whole group got already.
        if not self._postponed and not self._raised:
            self._raised = True
            raise Stopped(self.asked)


_current: Stops | None = None


@contextlib.contextmanager
def stoppable() -> Iterator[Stops]:
    """Turn the signals into `Stopped`, and print its line where the outermost block of this kind ends with it.

    Outside of the main thread nothing can be heard, and nothing changes.

    Raises:
        Stopped: By a signal, at any moment; or `nonlocalnet.system.stops.Stops.postponed` says when.
    """
    global _current
    if _current is not None or threading.current_thread() is not threading.main_thread():
        yield _current or Stops()
        return
    stops = _current = Stops()
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    heard, written = socket.socketpair()
    written.setblocking(False)
    wakeup = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=stops.watch, args=(heard,), name="stops", daemon=True).start()
    stops.install()
    try:
        yield stops
    except Stopped as stopped:
        stops.say(int(stopped.code or 0) - 128)
        raise
    finally:
        stops.finish()
        for signum, handler in before.items():
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(wakeup)
        written.close()
        _current = None


@contextlib.contextmanager
def uninterrupted(*, afterwards: str) -> Iterator[None]:
    """Inside of `stoppable`, let a signal wait until this block's end; elsewhere nothing changes.

    For what takes moments and is no use by half.

    Args:
        afterwards: What a signal that came is told with: that the block's work is done.

    Raises:
        Stopped: At the end, if a signal came.
    """
    if _current is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    with _current.postponed(afterwards):
        yield


def end_by_signals() -> None:
    """For a process whose only work is a command: after the work, a signal ends it as during it, in one line.

    Python takes its handlers back while it ends, and the process would die of the signal without a word although all is
    done: from there on signals are ignored.
    """
    for signum in SIGNALS:
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, _end_now)
    # What is registered first is called last.
    atexit.register(_ignore_signals)


def _end_now(signum: int, _frame: FrameType | None) -> None:
    _ignore_signals()
    Stops().end(signum)


def _ignore_signals() -> None:
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def leave_stops_to_the_parent() -> None:
    """In a worker: ignore the signals that a terminal sends to all processes; the parent says when a worker ends."""
    for signum in set(SIGNALS) - {signal.SIGTERM}:
        signal.signal(signum, signal.SIG_IGN)


def outlast_the_parent() -> None:
    """As `leave_stops_to_the_parent`, and let SIGTERM end this worker only after a while.

    A scheduler sends it to all processes at once, and a worker that went first would spoil the parent's last step; but
    it is also how a parent gets rid of a worker. A second one is that for certain, and ends it at once.
    """
    leave_stops_to_the_parent()
    signal.signal(signal.SIGTERM, _end_later)


def _end_later(_signum: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, _end_quietly)
    signal.signal(signal.SIGALRM, _end_quietly)
    signal.alarm(_OUTLAST_SECONDS)


def _end_quietly(_signum: int, _frame: FrameType | None) -> None:
    # As by itself: PyTorch makes an error of a worker that died of a signal, wherever its parent then is.
    os._exit(0)


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Keep Ctrl-C and SIGHUP from this thread, and for good from the processes that are started here."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    kept: Any = signal.pthread_sigmask(signal.SIG_BLOCK, set(SIGNALS) - {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)


def _after_fork() -> None:
    """A forked worker would tell its parent's thread of its own signals."""
    global _current
    if _current is not None:
        _current = None
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        leave_stops_to_the_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
