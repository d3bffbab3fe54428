"""Pages and drawings, kept in memory: the latest few, for a while."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from typing import NamedTuple

from nonlocalnet.serving.worker import Answer

KEPT = 8  # a page is at most 40 MB
KEPT_SECONDS = 900


class _Kept(NamedTuple):
    until: float
    answer: Answer


class Results:
    """By an address that nobody guesses. What is too old, or beyond the latest few, is forgotten."""

    def __init__(self, *, most: int = KEPT, seconds: float = KEPT_SECONDS) -> None:
        self._most, self._seconds = most, seconds
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def put(self, answer: Answer) -> str:
        """Keep an answer; returns its key."""
        self._forget()
        key = secrets.token_urlsafe(16)
        self._kept[key] = _Kept(time.monotonic() + self._seconds, answer)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return key

    def get(self, key: str) -> Answer | None:
        """The answer, or None if it is not kept, or no longer."""
        self._forget()
        kept = self._kept.get(key)
        return None if kept is None else kept.answer

    def _forget(self) -> None:
        now = time.monotonic()
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._kept.popitem(last=False)
