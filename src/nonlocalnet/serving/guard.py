"""Which requests are answered at all, and what every answer says to a browser.

A page of any address can make a browser send requests to this machine. Two things give such a request away: the name it
was sent to, which is not this machine's where a foreign name was pointed here (DNS rebinding), and its origin.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FRONT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
# What is explained has a policy of its own inside. It gets an origin of its own, too, which has no access to this one.
PAGE_POLICY = "sandbox allow-scripts allow-downloads; frame-ancestors 'self'"

_HEADERS = {
    "content-security-policy": FRONT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Wraps an application.

    Args:
        app: The application.
        host: The name or address that it is bound to.
    """

    def __init__(self, app: ASGIApp, *, host: str) -> None:
        self._app = app
        # Whoever is bound to more than this machine is called by its name, too.
        self._names = {"localhost", host.lower(), *([] if is_loopback(host) else [socket.gethostname().lower()])}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse or hand on, and add the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(scope)
        if refused is None:
            await self._app(scope, receive, with_headers)
        else:
            await JSONResponse({"error": refused}, 403)(scope, receive, with_headers)

    def _refused(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(_name_of(host)):
            return "this address is not one that this server is known by; use the one that it printed, or --host NAME"
        if scope["method"] in ("GET", "HEAD"):
            return None
        foreign = headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        if foreign or headers.get("origin", f"http://{host}") not in (f"http://{host}", f"https://{host}"):
            return "a page of another address sent this; only this server's own page may"
        return None

    def _is_ours(self, name: str) -> bool:
        # An address is no name that anybody could have pointed here.
        return name in self._names or _address(name) is not None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def _name_of(host: str) -> str:
    """The name in a Host header, without its port and an address's brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _address(name: str) -> Any:
    try:
        address = ipaddress.ip_address(name)
        return getattr(address, "ipv4_mapped", None) or address
    except ValueError:
        return None
