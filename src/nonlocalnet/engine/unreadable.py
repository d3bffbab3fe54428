"""When a data set is too broken to train on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nonlocalnet.system.errors import FileProblem

# Standard deviations above the limit: a few broken files at the start must not stop a run that is within it.
_MARGIN = 3.0


class UnreadableShare:
    """Counts the training items that stood in for unreadable files, and stops a run whose share is clearly too high.

    Args:
        limit: Share of items in [0, 1] that may stand in. 0 allows none, 1 any.
        items: What the items are, such as "training clips".
        files: What they are made of, such as "videos".
        advice: What finds the broken ones.
        error: What is raised.

    Attributes:
        items: Training items so far.
        replaced: How many of them stood in for a file that cannot be read.
    """

    def __init__(self, limit: float, *, items: str, files: str, advice: str, error: type[FileProblem]) -> None:
        self.limit = limit
        self._names = (items, files, advice)
        self._error = error
        self.items = 0
        self.replaced = 0
        self._first = ""

    def note(self, errors: Sequence[str]) -> None:
        """Keep the first reason for the message."""
        self._first = self._first or next((error for error in errors if error), "")

    def add(self, *, items: int, replaced: int) -> None:
        """Count the items of a step, over all processes.

        Raises:
            FileProblem: The class asked for, if more items stood in than the limit explains: over `limit` n + 3 sqrt(n
                limit (1 - limit)) of n, three standard deviations above what is expected at the limit itself.
        """
        self.items += items
        self.replaced += replaced
        n, limit = self.items, self.limit
        if self.replaced > limit * n + _MARGIN * math.sqrt(n * limit * (1 - limit)):
            first = f"; the first: {self._first}" if self._first else ""
            named, files, advice = self._names
            raise self._error(
                f"{self.replaced} of {n} {named} ({100 * self.replaced / n:.1f}%) stood in for {files} that "
                f"cannot be read, above data.max_unreadable = {limit:g}{first}; {advice}: "
                "repair them, leave them out of the list, or raise data.max_unreadable"
            )
