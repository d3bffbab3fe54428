"""The process that holds the device. A file that crashes a decoder ends it, and not the server, which starts another.

What it says comes as JSON and plain bytes: a process that reads strangers' files is not trusted to send pickles.
"""

from __future__ import annotations

import contextlib
import json
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from nonlocalnet.system.errors import ProcessError, reason_of
from nonlocalnet.system.odd_files import short
from nonlocalnet.system.processes import end_with_parent, fresh_context
from nonlocalnet.system.stops import leave_stops_to_the_parent
from nonlocalnet.system.visible import visible


class Answer(NamedTuple):
    """What is in a file.

    Attributes:
        told: As plain data.
        page: The page of where the blocks look; empty without one.
        drawing: A PNG of the picture with what was found; empty without one.
    """

    told: dict[str, Any]
    page: bytes
    drawing: bytes


class Work(Protocol):
    """What is done with files.

    Attributes:
        about: What the network is, as plain data.
    """

    about: dict[str, Any]

    def __call__(self, path: Path, name: str, doing: Callable[[str], object]) -> Answer:
        """Answer for a file.

        Args:
            path: The file.
            name: What it is called, for people.
            doing: Takes a few words of what is being done.

        Raises:
            ValueError: The file is at fault.
        """
        ...


def said_of(error: Exception, path: Path, name: str) -> str:
    """An error in one line for whoever sent the file, which knows it by another name than its path here."""
    text = reason_of(error) if isinstance(error, OSError) else str(error)
    return short(visible(" ".join(text.replace(str(path), name).split())))


class Worker:
    """One process that answers for one file at a time; to be called from one thread at a time, `end` from any.

    Args:
        open_work: A module's function, called in the process.
        argument: What it is called with.
    """

    def __init__(self, open_work: Callable[[Any], Work], argument: Any) -> None:
        self._open_work, self._argument = open_work, argument
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._ending = threading.Lock()

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.is_alive()

    def start(self) -> dict[str, Any]:
        """Start the process and wait until it is ready.

        Returns:
            What its work says of itself.

        Raises:
            ValueError: What `open_work` raised, FileNotFoundError and other OSErrors included.
            ProcessError: The process died.
        """
        self.end()
        context = fresh_context(self._open_work.__module__)
        ours, theirs = context.Pipe()
        process = context.Process(target=_main, args=(theirs, self._open_work, self._argument), daemon=True)
        process.start()
        self._process = process  # not before: a signal may come while it starts, and then there is nothing to end
        theirs.close()
        self._connection = ours
        kind, content = self._heard()
        if kind == "refused":
            self.end()
            raise ValueError(content)
        return content

    def answer(self, path: Path, name: str, doing: Callable[[str], object]) -> Answer:
        """Have a file looked at.

        Args:
            path: The file.
            name: What it is called, for people.
            doing: Called with a few words whenever something else is begun, from this thread.

        Raises:
            ValueError: The file is at fault; the message is for whoever sent it.
            ProcessError: The work failed, or the process died or was ended.
        """
        assert self._connection is not None
        try:
            self._connection.send_bytes(json.dumps([str(path), name]).encode())
        except OSError:
            self.end()
            raise ProcessError(_DIED) from None
        while True:
            kind, content = self._heard()
            if kind == "doing":
                doing(content)
            elif kind == "refused":
                raise ValueError(content)
            elif kind == "failed":
                raise ProcessError(content)
            else:
                return Answer(content, self._bytes(), self._bytes())

    def end(self) -> None:
        """End the process at once; nothing if there is none."""
        with self._ending:
            if self._process is not None:
                self._process.kill()
                self._process.join()

    def _heard(self) -> tuple[str, Any]:
        kind, content = json.loads(self._bytes())
        return kind, content

    def _bytes(self) -> bytes:
        assert self._connection is not None
        try:
            return self._connection.recv_bytes()
        except (EOFError, OSError):
            self.end()  # one that is dying still counts as running, and would be given the next file
            raise ProcessError(_DIED) from None


_DIED = (
    "the process that looked at it died, by this file or for want of memory; another one takes its place, and the "
    "file can be sent again"
)


def _main(connection: Connection, open_work: Callable[[Any], Work], argument: Any) -> None:
    leave_stops_to_the_parent()
    end_with_parent()

    def say(kind: str, content: Any) -> None:
        connection.send_bytes(json.dumps([kind, content]).encode())

    try:
        work = open_work(argument)
    except (ValueError, OSError) as error:
        named = f"{error.filename}: " if isinstance(error, OSError) and error.strerror and error.filename else ""
        say("refused", named + (reason_of(error) if isinstance(error, OSError) else str(error)))
        return
    say("ready", work.about)
    with contextlib.suppress(EOFError):  # the server has let go
        while True:
            path, name = json.loads(connection.recv_bytes())
            _answer(work, connection, say, Path(path), name)


def _answer(work: Work, connection: Connection, say: Callable[[str, Any], None], path: Path, name: str) -> None:
    try:
        answer = work(path, name, lambda words: say("doing", words))
    except (ValueError, OSError) as error:
        say("refused", said_of(error, path, name))
    except Exception as error:  # of any library: the next file may be another matter
        traceback.print_exc()
        say("failed", f"the network failed on it: {said_of(error, path, name) or type(error).__name__}")
    else:
        say("answer", answer.told)
        connection.send_bytes(answer.page)
        connection.send_bytes(answer.drawing)
