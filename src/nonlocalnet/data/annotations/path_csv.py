"""A csv whose header has the columns `path` and `label`, or names that mean them (`video_path,class`).

Other columns are ignored. It is separated by commas, semicolons (as Excel writes it) or tabs.

The first row decides whether labels are class indices or class names. Names are looked up in the given class names, or
where there are none numbered in sorted order (of the names in this list: give every split the same `classes.txt`). In
a multi-label list a cell may hold several indices, separated by spaces or, in quotes, by commas.
"""

import re
from collections.abc import Sequence

from nonlocalnet.data.annotations.class_names import labels_of_cells
from nonlocalnet.data.annotations.entries import Found, ListFormat, ListRequest, Read
from nonlocalnet.data.annotations.lines import check_cell, class_index, csv_rows, header_of

# What others call the two, in the order in which they are taken.
_PATH_NAMES = (
    *("path", "video_path", "video", "file", "filename", "file_name", "filepath", "file_path", "video_name"),
    *("audio_path", "audio", "audio_file", "wav", "wav_path", "sound"),
)
LABEL_NAMES = (
    "label",
    "class",
    "class_name",
    "label_name",
    "category",
    "class_id",
    "label_id",
    "class_index",
    "target",
)


def columns_of(header: Sequence[str]) -> tuple[str, str] | None:
    """What a header calls the path and the label; None if it has not both.

    >>> columns_of(["class", "seconds", "video_path"])
    ('video_path', 'class')
    """
    path = next((name for name in _PATH_NAMES if name in header), None)
    label = next((name for name in LABEL_NAMES if name in header), None)
    return (path, label) if path is not None and label is not None else None


def read(request: ListRequest, lines: Sequence[str]) -> Read:
    """Read the rows.

    Raises:
        ValueError: With the file and the line.
    """
    source = request.source
    header = header_of(lines)
    path, label = columns_of(header) or ("path", "label")
    rows = csv_rows(source, lines, required=(path, label), quote=path)
    for row in rows:
        check_cell(source, row.line, path, row.cells[path])
        if not request.multi_label:
            check_cell(source, row.line, label, row.cells[label])
    labels, class_names = _labels(request, [(row.line, row.cells[label]) for row in rows])
    videos = [
        Found(request.root / row.cells[path], indices, lines=row.lines)
        for row, indices in zip(rows, labels, strict=True)
    ]
    return Read(videos, class_names)


def _labels(
    request: ListRequest, cells: Sequence[tuple[int, str]]
) -> tuple[list[tuple[int, ...]], tuple[str, ...] | None]:
    """From (line, label) of every row."""
    source = request.source
    if request.multi_label:
        split = [(line, re.split(r"[\s,;]+", cell)) for line, cell in cells]
        return [tuple(class_index(source, line, part) for part in parts if part) for line, parts in split], None
    indices, names = labels_of_cells(source, cells, request.class_names)
    return [(index,) for index in indices], names


FORMAT = ListFormat(
    "path_csv",
    recognises=lambda _source, lines: columns_of(header_of(lines)) is not None,
    read=read,
)
