"""When a data set is too broken to train on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nonlocalnet.data.video.reader import VideoError

# Standard deviations above the limit: a few broken files at the start must not stop a run that is within it.
_MARGIN = 3.0


class UnreadableShare:
    """Counts the training clips that stood in for unreadable videos, and stops a run whose share is clearly too high.

    Args:
        limit: Share of clips in [0, 1] that may stand in. 0 allows none, 1 any.

    Attributes:
        clips: Training clips so far.
        replaced: How many of them stood in for a video that cannot be read.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.clips = 0
        self.replaced = 0
        self._first = ""

    def note(self, errors: Sequence[str]) -> None:
        """Keep the first reason for the message."""
        self._first = self._first or next((error for error in errors if error), "")

    def add(self, *, clips: int, replaced: int) -> None:
        """Count the clips of a step, over all processes.

        Raises:
            VideoError: If more clips stood in than the limit explains: over `limit` n + 3 sqrt(n limit (1 - limit)) of
                n, three standard deviations above what is expected at the limit itself.
        """
        self.clips += clips
        self.replaced += replaced
        n, limit = self.clips, self.limit
        if self.replaced > limit * n + _MARGIN * math.sqrt(n * limit * (1 - limit)):
            first = f"; the first: {self._first}" if self._first else ""
            raise VideoError(
                f"{self.replaced} of {n} training clips ({100 * self.replaced / n:.1f}%) stood in for videos that "
                f"cannot be read, above data.max_unreadable = {limit:g}{first}; `nonlocalnet data check` finds them: "
                "repair them, leave them out of the list, or raise data.max_unreadable"
            )
