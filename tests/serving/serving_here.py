"""A server in a thread of this process, and what people do to it."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nonlocalnet.serving.app import Limits, Service
from nonlocalnet.serving.server import Server, config_of
from nonlocalnet.serving.uploads import Uploads
from nonlocalnet.serving.worker import Answer, Work, said_of
from nonlocalnet.system.stops import Stops

LIMITS = Limits(most_bytes=100_000, most_seconds=60, most_waiting=16)


class WorkHere:
    """As a `Worker`, without a process."""

    runs = True

    def __init__(self, work: Work) -> None:
        self._work = work
        self.about = work.about

    def answer(self, path: Path, name: str, doing: Callable[[str], object]) -> Answer:
        try:
            return self._work(path, name, doing)
        except ValueError as error:
            raise ValueError(said_of(error, path, name)) from None

    def start(self) -> dict[str, Any]:
        return self.about

    def end(self) -> None:
        pass


@contextmanager
def served(worker: Any, *, limits: Limits = LIMITS, about: dict[str, Any] | None = None) -> Iterator[Here]:
    """Answer requests to a port of this machine until the block ends."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    started: list[Server] = []

    async def run() -> None:
        with Uploads() as uploads:
            service = Service(
                worker, about or {"network": "a network", "takes": "video"}, uploads=uploads, limits=limits
            )
            working = asyncio.ensure_future(service.line.work())
            started.append(Server(config_of(service.app(host="127.0.0.1")), Stops()))
            await started[0].serve(sockets=[bound])
            worker.end()
            working.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        until(lambda: bool(started) and started[0].started)
        yield Here(bound.getsockname()[1])
    finally:
        started[0].should_exit = started[0].force_exit = True
        thread.join()
        bound.close()


@dataclass(frozen=True)
class Replied:
    code: int
    headers: dict[str, str]
    content: bytes

    @property
    def told(self) -> dict[str, Any]:
        return json.loads(self.content)


@dataclass(frozen=True)
class Here:
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, method: str, path: str, content: Any = None, **headers: str) -> Replied:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, content, {name.replace("_", "-"): v for name, v in headers.items()})
            reply = connection.getresponse()
            return Replied(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Replied:
        return self.ask("GET", path, **headers)

    def send(self, content: Any, path: str = "/predict?name=a.mp4", **headers: str) -> Replied:
        return self.ask("POST", path, content, **headers)

    def begin(self, content: bytes, *, length: int | None = None) -> socket.socket:
        """Send a file, or the beginning of one of `length`, and do not wait for the answer."""
        sent = socket.create_connection(("127.0.0.1", self.port))
        size = len(content) if length is None else length
        sent.sendall(f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n".encode() + content)
        return sent

    def health(self) -> dict[str, Any]:
        return self.get("/health").told


def until(holds: Callable[[], object], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
