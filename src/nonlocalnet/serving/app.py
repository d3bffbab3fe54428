"""The routes: a page, what it needs, and one endpoint that takes a file and says what is in it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from nonlocalnet.serving.guard import PAGE_POLICY, Guard
from nonlocalnet.serving.line import Full, Job, Line
from nonlocalnet.serving.results import KEPT_SECONDS, Results
from nonlocalnet.serving.uploads import Upload, Uploads
from nonlocalnet.serving.worker import Answer, Worker
from nonlocalnet.system.errors import reason_of
from nonlocalnet.system.visible import cut, visible

LINES = "application/x-ndjson"
_FILES = {
    "/": ("index.html", "text/html"),
    "/serve.css": ("serve.css", "text/css"),
    "/serve.js": ("serve.js", "text/javascript"),
}
_LONGEST_NAME = 120  # characters
_SECONDS_BETWEEN_PARTS, _SECONDS_OF_UPLOAD = 30.0, 1800.0
_SECONDS_BETWEEN_STATES = 1.0
_SECONDS_OF_DISCARDING = 10.0
_SECONDS_OF_LAST_WORDS = 1.0
_STOPPED = "the server was stopped: send the file again when it is back"


@dataclass(frozen=True)
class Limits:
    """What is taken from one sender, and from all.

    Attributes:
        most_bytes: Of a file.
        most_seconds: Of work on a file.
        most_waiting: Files beside the one in work, those on their way included.
    """

    most_bytes: int
    most_seconds: float
    most_waiting: int


class Service:
    """What answers requests. To be made inside a running event loop.

    Args:
        worker: The process with the device, started.
        about: What it said of itself.
        uploads: Where files go.
        limits: What is taken.
    """

    def __init__(self, worker: Worker, about: dict[str, Any], *, uploads: Uploads, limits: Limits) -> None:
        self._about, self._uploads, self._limits = about, uploads, limits
        self._results = Results()
        self.line = Line(worker, self._keep, most_waiting=limits.most_waiting, most_seconds=limits.most_seconds)

    def app(self, *, host: str) -> ASGIApp:
        """The application, for a server that is bound to `host`."""
        routes = [
            *(Route(path, _sender(*of)) for path, of in _FILES.items()),
            Route("/health", self._health),
            Route("/predict", self._predict, methods=["POST"]),
            Route("/pages/{key}", self._page),
            Route("/pages/{key}/drawing.png", self._drawing),
        ]
        return Guard(Starlette(routes=routes, exception_handlers={HTTPException: _as_json}), host=host)

    async def _health(self, _: Request) -> Response:
        state = {"working": self.line.working, "waiting": self.line.waiting, "most_waiting": self.line.most_waiting}
        limits = {"most_bytes": self._limits.most_bytes, "most_seconds": self._limits.most_seconds}
        return JSONResponse({"status": "ok", **self._about, **state, **limits})

    async def _page(self, request: Request) -> Response:
        found = self._kept(request).page
        return Response(found, media_type="text/html", headers={"content-security-policy": PAGE_POLICY})

    async def _drawing(self, request: Request) -> Response:
        return Response(self._kept(request).drawing, media_type="image/png")

    def _kept(self, request: Request) -> Answer:
        found = self._results.get(request.path_params["key"])
        if found is None:
            raise HTTPException(404, "this result is no longer kept, or never was: send the file again")
        return found

    def _keep(self, answer: Answer) -> dict[str, Any]:
        told = dict(answer.told)
        if answer.page or answer.drawing:
            address = f"/pages/{self._results.put(answer)}"
            told["kept_seconds"] = KEPT_SECONDS
            told |= {"page": address} if answer.page else {}
            told |= {"drawing": f"{address}/drawing.png"} if answer.drawing else {}
        return told

    async def _predict(self, request: Request) -> ASGIApp:
        """Take the file; the answer then follows it through the line."""
        try:
            _require_plain(request)
            self.line.require_room()
            _require_size(request.headers.get("content-length"), self._limits.most_bytes)
            job = Job(_name_of(request), self._uploads.make())
            self.line.enter(job)
        except (HTTPException, Full, OSError) as error:
            await _discard(request)
            raise _refusal(error, self._limits) from None
        try:
            await asyncio.wait_for(_receive(request, job.upload, self._limits.most_bytes), _SECONDS_OF_UPLOAD)
        except BaseException as error:
            self.line.leave(job)
            if isinstance(error, (OSError, asyncio.TimeoutError, asyncio.CancelledError)):
                raise _refusal(error, self._limits) from None
            raise
        self.line.submit(job)
        return _Following(self.line, job, in_lines=LINES in request.headers.get("accept", ""))


class _Following:
    """An answer that lasts as long as its job: lines of JSON on how far it is, or one object at its end.

    Whoever goes away leaves the line.
    """

    def __init__(self, line: Line, job: Job, *, in_lines: bool) -> None:
        self._line, self._job, self._in_lines = line, job, in_lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            if self._in_lines:
                await self._send_lines(send, gone)
            elif await self._is_done(gone):
                await self._send_object(scope, receive, send)
        except asyncio.CancelledError:  # the server ends
            self._job.finish({"error": _STOPPED}, code=503)
            last = self._send_line(send) if self._in_lines else self._send_object(scope, receive, send)
            await asyncio.wait_for(last, _SECONDS_OF_LAST_WORDS)
            raise
        finally:
            gone.cancel()
            self._line.leave(self._job)

    async def _send_lines(self, send: Send, gone: asyncio.Future[None]) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", LINES.encode())]}
        await send(start)
        while not gone.done():
            self._job.changed.clear()
            if await self._send_line(send):
                return
            await self._news(gone, _SECONDS_BETWEEN_STATES)

    async def _send_line(self, send: Send) -> bool:
        """How far the job is; whether that was the last line."""
        state, last = self._line.state(self._job), self._job.done is not None
        line = json.dumps(state).encode() + b"\n"
        await send({"type": "http.response.body", "body": line, "more_body": not last})
        return last

    async def _send_object(self, scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse(self._line.state(self._job), self._job.code)(scope, receive, send)

    async def _is_done(self, gone: asyncio.Future[None]) -> bool:
        while self._job.done is None and not gone.done():
            self._job.changed.clear()
            await self._news(gone, None)
        return self._job.done is not None

    async def _news(self, gone: asyncio.Future[None], seconds: float | None) -> None:
        changed = asyncio.ensure_future(self._job.changed.wait())
        try:
            await asyncio.wait({changed, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _receive(request: Request, upload: Upload, most_bytes: int) -> None:
    """The body into a file, counted as it comes: what a header says of its length is no more than said."""
    size, more = 0, True
    while more:
        message = await asyncio.wait_for(request.receive(), _SECONDS_BETWEEN_PARTS)
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "the file did not come whole")
        content = message.get("body", b"")
        size += len(content)
        more = message.get("more_body", False)
        if size > most_bytes:
            if more:
                await _discard(request)
            raise _too_large(most_bytes)
        upload.write(content)
    if size == 0:
        raise HTTPException(422, "the file is empty (0 bytes)")


async def _discard(request: Request) -> None:
    """Read on for a while: a browser that is still sending would show a lost connection in place of the reason."""
    if "expect" in request.headers:  # it asked first, and sends nothing after a refusal
        return

    async def rest() -> None:
        while (message := await request.receive())["type"] == "http.request" and message.get("more_body", False):
            pass

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(rest(), _SECONDS_OF_DISCARDING)


def _require_plain(request: Request) -> None:
    if request.headers.get("content-type", "").lower().startswith(("multipart/", "application/x-www-form-urlencoded")):
        raise HTTPException(
            415, "send the file itself as the body, not as a form: curl --data-binary @FILE -H 'Content-Type: "
            "application/octet-stream' 'ADDRESS/predict?name=FILE'",
        )  # fmt: skip


def _require_size(length: str | None, most_bytes: int) -> None:
    if length is not None and length.isdecimal() and int(length) > most_bytes:
        raise _too_large(most_bytes)


def _too_large(most_bytes: int) -> HTTPException:
    return HTTPException(
        413, f"the file is larger than {most_bytes / 1e6:g} MB (--most-mb), which is all that is taken"
    )


def _refusal(error: BaseException, limits: Limits) -> HTTPException:
    if isinstance(error, HTTPException):
        return error
    if isinstance(error, asyncio.CancelledError):
        return HTTPException(503, _STOPPED)
    if isinstance(error, Full):
        return HTTPException(503, f"{limits.most_waiting} files wait already, and no more can: try again in a while")
    if isinstance(error, asyncio.TimeoutError):
        return HTTPException(408, "the file came too slowly")
    assert isinstance(error, OSError)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return HTTPException(507 if full else 500, f"the file cannot be kept here: {reason_of(error)}")


def _name_of(request: Request) -> str:
    """The file's name as text of one line; nothing is ever opened by it."""
    given = " ".join(request.query_params.get("name", "").split())
    return cut(visible(given), _LONGEST_NAME) or "the file"


def _sender(name: str, media_type: str) -> Any:
    content = (files("nonlocalnet.serving") / "page_files" / name).read_bytes()

    async def send(_: Request) -> Response:
        return Response(content, media_type=media_type)

    return send


async def _as_json(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)
