"""The server, from the port to the signal that ends it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

from nonlocalnet.serving.app import Limits, Service
from nonlocalnet.serving.uploads import Uploads
from nonlocalnet.serving.worker import Worker
from nonlocalnet.system.errors import reason_of
from nonlocalnet.system.stops import Stops, stoppable

_CONNECTIONS = 128
_SECONDS_OF_LAST_ANSWERS = 1


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound, and does not listen yet.

    Args:
        host: A name or address of this machine.
        port: From 0 to 65535; 0 for any that is free.

    Raises:
        ValueError: It cannot be had; says what to do.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"--port must be from 0 to 65535, got {port}")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        reason = reason_of(error) if isinstance(error, OSError) else "no name of a machine"
        raise ValueError(f"--host {host}: {reason}; give a name or address of this machine") from None
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"--port {port} of {host} is in use; give another one, or --port 0 for any that is free"
            ) from None
        raise ValueError(f"--host {host} --port {port}: {reason_of(error)}") from None
    return bound


def address_of(bound: socket.socket, host: str) -> str:
    """Where a browser finds it."""
    named = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{named}:{bound.getsockname()[1]}/"


def serve(
    bound: socket.socket, worker: Worker, *, host: str, limits: Limits, ready: Callable[[dict[str, Any]], None]
) -> None:
    """Load the network and answer requests until a signal comes.

    Args:
        bound: From `bind`; closed at the end.
        worker: Not started yet; ended at the end.
        host: The name or address that was asked for.
        limits: What is taken from senders.
        ready: Called with what the network is, when requests are about to be answered.

    Raises:
        ValueError: The network cannot be loaded.
        Stopped: By the signal.
    """
    with contextlib.ExitStack() as stack:
        stack.callback(bound.close)
        stack.callback(worker.end)
        uploads = stack.enter_context(Uploads())
        about = worker.start()
        stops = stack.enter_context(stoppable())
        bound.listen()  # whoever comes now waits for a moment, and is not turned away
        ready(about)
        with stops.postponed():
            asyncio.run(_serve(bound, worker, about, host=host, uploads=uploads, limits=limits, stops=stops))


def config_of(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn runs the application: HTTP alone, and silent but for errors."""
    return uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=0,  # from Python 3.12.1 on, closing would wait for whoever waits
    )


async def _serve(
    bound: socket.socket,
    worker: Worker,
    about: dict[str, Any],
    *,
    host: str,
    uploads: Uploads,
    limits: Limits,
    stops: Stops,
) -> None:
    service = Service(worker, about, uploads=uploads, limits=limits)
    working = asyncio.ensure_future(service.line.work())
    try:
        await Server(config_of(service.app(host=host)), stops).serve(sockets=[bound])
    finally:
        worker.end()  # or the thread that waits for its answer would keep this process
        working.cancel()


class Server(uvicorn.Server):
    """Ends by the signals as every command hears them, without waiting for anybody."""

    def __init__(self, config: uvicorn.Config, stops: Stops) -> None:
        super().__init__(config)
        self._stops = stops

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cancel what is being answered, and let it answer that."""
        await super().shutdown(sockets)
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_SECONDS_OF_LAST_ANSWERS)

    @override
    async def on_tick(self, counter: int) -> bool:
        if self._stops.asked is not None:
            self.should_exit = self.force_exit = True
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what is cancelled now is no error
        return await super().on_tick(counter)
