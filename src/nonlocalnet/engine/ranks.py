"""Several processes of one run end together, however one of them ended, and one sentence says so.

Lightning's own watch kills the first process without a word, some seconds after another has died, and a process whose
partner is gone fails in the middle of a library's exchange, or waits in it for half an hour.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import lightning.pytorch as pl
from torch.distributed import DistError

from nonlocalnet.system.errors import ProcessError
from nonlocalnet.system.processes import is_first_process
from nonlocalnet.system.stops import SIGNALS, Stopped, Stops

_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_TO_END = 4.0  # for a process to find out by itself, and for the others to end
_OF_AN_EXCHANGE = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "Broken pipe", "TCPStore")
_LOST = "another process of this run ended{how}, so this one ends too; a training goes on with --resume"


class Ranks:
    """The other processes of a run, as far as this one can see them.

    The first process of a machine sees those that Lightning started for it; the others see whether their parent lives.

    Args:
        trainer: Lightning's; what it starts is found in it.
        stops: What has been asked of this process.
    """

    def __init__(self, trainer: pl.Trainer, stops: Stops) -> None:
        self._trainer = trainer
        self._stops = stops
        self._parent = os.getppid()
        self._children: list[subprocess.Popen[bytes]] = []
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, name="ranks", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._stops.last = self._kill
        self._watch.start()

    def close(self, *, failed: bool) -> None:
        """End looking; where this process failed, also end what is left of the others."""
        self._over.set()
        self._watch.join()
        self._stops.last = str
        if failed:
            deadline = time.monotonic() + _SECONDS_TO_END
            for child in self._children:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(max(0.0, deadline - time.monotonic()))
            self._kill()

    def reason_of(self, error: RuntimeError) -> BaseException | None:
        """What is behind an error in the exchange between processes; None for any other error."""
        exchange = isinstance(error, DistError) or any(text in str(error) for text in _OF_AN_EXCHANGE)
        if self._trainer.world_size == 1 or not exchange:
            return None
        deadline = time.monotonic() + _SECONDS_TO_END / 2
        while self._children and self._ended() is None and time.monotonic() < deadline:
            time.sleep(_SECONDS_BETWEEN_LOOKS / 4)
        code = self._ended()
        signum = _signal_of(code)
        if signum is not None:
            self._stops.asked = signum
            return Stopped(signum)
        return ProcessError(_LOST.format(how=_how(code)))

    def _look(self) -> None:
        while not self._over.wait(_SECONDS_BETWEEN_LOOKS):
            # Out of Lightning's list: its own watch takes the empty one for a run without children, and ends.
            started = getattr(self._trainer.strategy.launcher, "procs", [])
            while started:
                self._children.append(started.pop())
            code, orphan = self._ended(), not is_first_process() and os.getppid() != self._parent
            if (code is not None or orphan) and not self._over.wait(_SECONDS_TO_END):
                self._end(code)

    def _end(self, code: int | None) -> None:
        """From the thread: the process itself waits in an exchange that nobody answers."""
        signum = _signal_of(code)
        if signum is not None:
            self._stops.end(signum)
        self._kill()
        sys.stderr.write(f"nonlocalnet: error: {_LOST.format(how=_how(code))}\n")
        sys.stderr.flush()
        os._exit(1)

    def _ended(self) -> int | None:
        """The exit code of a process that did not end well; None as long as there is none."""
        return next((code for code in (child.poll() for child in self._children) if code), None)

    def _kill(self) -> None:
        for child in self._children:
            child.kill()


def _signal_of(code: int | None) -> int | None:
    """The signal by which a process was asked to stop, of its exit code."""
    return next((signum for signum in SIGNALS if code in (-signum, 128 + signum)), None)


def _how(code: int | None) -> str:
    return "" if code is None else f" (exit code {code})" if code > 0 else f" (killed by signal {-code})"


@contextlib.contextmanager
def ending_together(trainer: pl.Trainer, stops: Stops) -> Iterator[None]:
    """While Lightning works on several processes, end with them.

    Raises:
        ProcessError: Another process ended.
        Stopped: Another process was stopped by a signal; or this one was, whatever error that led to.
    """
    ranks = Ranks(trainer, stops)
    if trainer.world_size > 1:
        ranks.start()
    failed = True
    try:
        yield
        failed = False
    except RuntimeError as error:
        if stops.asked is not None:
            raise Stopped(stops.asked) from None
        reason = ranks.reason_of(error)
        if reason is not None:
            raise reason from None
        raise
    finally:
        if trainer.world_size > 1:
            ranks.close(failed=failed)
