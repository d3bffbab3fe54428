"""Rows as the text of a csv file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


def rows_as_csv(header: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    r"""A header and rows, each with a line end.

    >>> rows_as_csv(("path", "label"), [("a, b.mp4", 1)])
    'path,label\n"a, b.mp4",1\n'
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()
