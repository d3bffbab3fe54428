"""The three parts of any data."""

from __future__ import annotations

from typing import Literal

Split = Literal["train", "val", "test"]
STREAMS: dict[Split, int] = {"train": 0, "val": 1, "test": 2}
"""Numbers that set the random streams of the splits apart."""
