"""A headless Chromium, where this machine has one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_PLACES = ("chromium", "chromium-browser", "google-chrome")
WHERE = next((path for path in map(shutil.which, _PLACES) if path), None)

needs_browser = pytest.mark.skipif(WHERE is None, reason="no Chromium on this machine (apt-get install chromium)")


@contextmanager
def a_browser() -> Iterator[Any]:
    """A browser of Playwright's, which downloads none of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=WHERE, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """What a page did that it should not: errors, words on the console, requests to anywhere but itself."""

    def __init__(self, page: Any, *, own: str) -> None:
        self.problems: list[str] = []
        page.on("console", lambda message: self.problems.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("request", lambda request: self._request(request.url, own))

    def _request(self, url: str, own: str) -> None:
        if not url.startswith((own, "data:", "blob:")):
            self.problems.append(f"request: {url}")
