"""Who waits for the device: one file at a time, first come, first served, and not more than fit."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

from nonlocalnet.serving.uploads import Upload
from nonlocalnet.serving.worker import Answer, Worker
from nonlocalnet.system.errors import ProcessError

_UNPROCESSABLE, _FAILED, _TOO_LONG = 422, 500, 504


class Full(Exception):  # noqa: N818  no fault, a state
    """No more can wait."""


class Job:
    """One file on its way.

    Attributes:
        name: What it is called, for people.
        upload: The file; closed when the job has left and nobody reads it.
        done: What came of it, for whoever sent it; None until then.
        code: HTTP's number for that.
        changed: Set when there is news.
        gone: Set when nobody waits for it any more.
    """

    def __init__(self, name: str, upload: Upload) -> None:
        self.name, self.upload = name, upload
        self.done: dict[str, Any] | None = None
        self.code = 200
        self.changed, self.gone = asyncio.Event(), asyncio.Event()
        self.doing = ""
        self.begun: float | None = None

    def finish(self, done: dict[str, Any], *, code: int = 200) -> None:
        """Say what came of it."""
        self.done, self.code = done, code
        self.changed.set()

    def say(self, words: str) -> None:
        """Say what is being done."""
        self.doing = words
        self.changed.set()


class Line:
    """The jobs of one device. All but `Worker`'s own work happens in the event loop's thread.

    Args:
        worker: Has the device, and runs.
        keep: Makes of an answer what whoever sent the file is told.
        most_waiting: Jobs beside the one in work; uploads count.
        most_seconds: Of work on one file.
    """

    def __init__(
        self, worker: Worker, keep: Callable[[Answer], dict[str, Any]], *, most_waiting: int, most_seconds: float
    ) -> None:
        self._worker, self._keep = worker, keep
        self.most_waiting, self.most_seconds = most_waiting, most_seconds
        self._inside: set[Job] = set()
        self._waiting: list[Job] = []
        self._current: Job | None = None
        self._news = asyncio.Event()

    @property
    def working(self) -> bool:
        """Whether a file is in work."""
        return self._current is not None

    @property
    def waiting(self) -> int:
        """How many files are complete and wait."""
        return len(self._waiting)

    def require_room(self) -> None:
        """Refuse one more, uploads included.

        Raises:
            Full: There are as many as fit.
        """
        if len(self._inside) > self.most_waiting:
            raise Full

    def enter(self, job: Job) -> None:
        """Take one of the places; `Full` if there is none."""
        self.require_room()
        self._inside.add(job)

    def submit(self, job: Job) -> None:
        """The job's file is complete: it waits for its turn."""
        self._waiting.append(job)
        self._news.set()

    def leave(self, job: Job) -> None:
        """Nobody waits for the job any more, or it is done: its place is free. Work on it is ended."""
        job.gone.set()
        self._inside.discard(job)
        if job in self._waiting:
            self._waiting.remove(job)
            self._tell_waiting()
        if job is not self._current:
            job.upload.close()

    def state(self, job: Job) -> dict[str, Any]:
        """How far a job is, as plain data."""
        if job.done is not None:
            return job.done
        if job is self._current and job.begun is not None:
            return {"state": "working", "doing": job.doing, "seconds": round(time.monotonic() - job.begun, 1)}
        place = self._waiting.index(job) + 1 if job in self._waiting else len(self._waiting) + 1
        return {"state": "waiting", "place": place, "length": len(self._waiting)}

    async def work(self) -> None:
        """Work on one job after the other, until cancelled."""
        while True:
            while not self._waiting:
                self._news.clear()
                await self._news.wait()
            job = self._current = self._waiting.pop(0)
            self._tell_waiting()
            try:
                await self._work_on(job)
            finally:
                self._current = None
                job.upload.close()

    async def _work_on(self, job: Job) -> None:
        job.begun = time.monotonic()
        job.say("beginning")
        answering = asyncio.ensure_future(asyncio.to_thread(self._answer, job, asyncio.get_running_loop()))
        gone = asyncio.ensure_future(job.gone.wait())
        try:
            await asyncio.wait({answering, gone}, timeout=self.most_seconds, return_when=asyncio.FIRST_COMPLETED)
            late = not answering.done()
            if late:
                self._worker.end()
            self._conclude(job, await answering, late=late)
        finally:
            gone.cancel()
            if not answering.done():
                self._worker.end()
        if not self._worker.runs:  # in the time that nobody waits for
            with contextlib.suppress(ValueError, ProcessError):
                await asyncio.to_thread(self._worker.start)

    def _answer(self, job: Job, loop: asyncio.AbstractEventLoop) -> Answer | Exception:
        """In a thread of its own."""
        try:
            if not self._worker.runs:
                self._worker.start()
            return self._worker.answer(
                job.upload.path, job.name, lambda words: loop.call_soon_threadsafe(job.say, words)
            )
        except (ValueError, ProcessError) as error:
            return error

    def _conclude(self, job: Job, result: Answer | Exception, *, late: bool) -> None:
        if late:
            text = f"it took longer than {self.most_seconds:g} seconds (--most-seconds) and was ended"
            job.finish({"state": "failed", "error": text}, code=_TOO_LONG)
        elif isinstance(result, Answer):
            job.finish({"state": "done", **self._keep(result)})
        else:
            code = _UNPROCESSABLE if isinstance(result, ValueError) else _FAILED
            job.finish({"state": "failed", "error": str(result)}, code=code)

    def _tell_waiting(self) -> None:
        for job in self._waiting:
            job.changed.set()
