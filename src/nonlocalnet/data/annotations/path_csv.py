"""A csv whose header has the columns `path` and `label`; others are ignored.

The first row decides whether labels are class indices or class names. Names are looked up in the given class names, or
where there are none numbered in sorted order (of the names in this list: give every split the same `classes.txt`). In
a multi-label list a cell may hold several indices, separated by spaces or, in quotes, by commas.
"""

import re
from collections.abc import Sequence

from nonlocalnet.data.annotations.class_names import named_labels
from nonlocalnet.data.annotations.entries import Found, ListFormat, ListRequest, Read
from nonlocalnet.data.annotations.lines import CsvRow, check_cell, class_index, csv_rows, header_of, is_integer


def read(request: ListRequest, lines: Sequence[str]) -> Read:
    """Read the rows.

    Raises:
        ValueError: With the file and the line.
    """
    source = request.source
    rows = csv_rows(source, lines, required=("path", "label"), quote="path")
    for row in rows:
        check_cell(source, row.line, "path", row.cells["path"])
        if not request.multi_label:
            check_cell(source, row.line, "label", row.cells["label"])
    labels, class_names = _labels(request, rows)
    videos = [
        Found(request.root / row.cells["path"], indices, lines=row.lines)
        for row, indices in zip(rows, labels, strict=True)
    ]
    return Read(videos, class_names)


def _labels(request: ListRequest, rows: Sequence[CsvRow]) -> tuple[list[tuple[int, ...]], tuple[str, ...] | None]:
    source = request.source
    if request.multi_label:
        split = [(row.line, re.split(r"[\s,;]+", row.cells["label"])) for row in rows]
        return [tuple(class_index(source, line, cell) for cell in cells if cell) for line, cells in split], None
    if is_integer(rows[0].cells["label"]):
        return [(class_index(source, row.line, row.cells["label"]),) for row in rows], request.class_names
    indices, names = named_labels(source, [(row.line, row.cells["label"]) for row in rows], request.class_names)
    return [(index,) for index in indices], names


FORMAT = ListFormat(
    "path_csv",
    recognises=lambda _source, lines: {"path", "label"} <= set(header_of(lines)),
    read=read,
)
