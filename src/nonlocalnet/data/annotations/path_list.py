r"""Text lists, a video file a line and no header.

    some/path/000.mp4 1          PySlowFast's train.csv, mmaction2, video-nonlocal-net's trainlist.txt
    some/path/000.mp4 0 2 4      the same, multi-label
    some/path/000.mp4\tarchery   the same with class names, after the line's only tab

The separator is spaces, a tab, a comma or a semicolon. Labels are the last columns, so that paths may hold spaces; a
path may stand in quotes. A first line `path label` is left out. The first line of a video
decides whether labels are class names, which are numbered as in `path_csv`.
"""

import re
from collections.abc import Sequence
from pathlib import PurePath

from nonlocalnet.data.annotations.class_names import named_labels
from nonlocalnet.data.annotations.entries import SEVERAL_LABELS, Found, ListFormat, ListRequest, Read
from nonlocalnet.data.annotations.lines import (
    LAST_INTEGERS,
    check_cell,
    class_index,
    filled_lines,
    integers_in,
    is_integer,
    unquoted,
)
from nonlocalnet.data.annotations.path_csv import columns_of
from nonlocalnet.system.visible import quoted

_LAST_COLUMN = re.compile(r"(?P<path>.*[^\s,;])\s*[\s,;]\s*(?P<label>[^\s,;]+)", re.DOTALL)


def read(request: ListRequest, lines: Sequence[str]) -> Read:
    """Read `path label` lines, in multi-label lists `path label label ...`.

    Raises:
        ValueError: With the file and the line.
    """
    source = request.source
    split = _many if request.multi_label else _single
    filled = list(filled_lines(source, lines, "path label"))
    if columns_of(filled[0][1].lower().split()) is not None:
        filled = filled[1:]
    if not filled:
        raise ValueError(f"{source}: no rows after the header; expected one `path label` a line")
    rows = [(number, *split(request, number, line)) for number, line in filled]
    rows = [(number, unquoted(path), [unquoted(label) for label in labels]) for number, path, labels in rows]
    for number, path, _ in rows:
        check_cell(source, number, "path", path)
    _check_header(request, rows)
    names = None
    first, _, labels = rows[0]
    if not request.multi_label and lines[first - 1].strip().count("\t") == 1 and not is_integer(labels[0]):
        indices, names = named_labels(source, [(number, labels[0]) for number, _, labels in rows], request.class_names)
        classes = [(index,) for index in indices]
    else:
        classes = [tuple(class_index(source, number, label) for label in labels) for number, _, labels in rows]
    videos = [
        Found(request.root / path, labels, lines=range(number, number + 1))
        for (number, path, _), labels in zip(rows, classes, strict=True)
    ]
    return Read(videos, names)


def _check_header(request: ListRequest, rows: Sequence[tuple[int, str, list[str]]]) -> None:
    """Raise ValueError where the first line alone names no video and no class index: then it is a header."""
    number, path, labels = rows[0]
    others = any(_has_suffix(request, path) for _, path, _ in rows)
    if not PurePath(path).suffix and others and not all(map(is_integer, labels)):
        raise ValueError(
            f"{request.source}, line {number}: {quoted(' '.join((path, *labels)))} is a header, not a "
            f"{request.media.name}; "
            "call its columns path and label, or leave the line out"
        )


def _has_suffix(request: ListRequest, path: str) -> bool:
    return PurePath(path).suffix.lower() in request.media.suffixes


def _single(request: ListRequest, number: int, line: str) -> tuple[str, list[str]]:
    source = request.source
    if line.count("\t") == 1:
        path, label = (cell.strip() for cell in line.split("\t"))
        return path, [check_cell(source, number, "label", label)]
    match = _LAST_COLUMN.fullmatch(line)
    if match is None:
        raise ValueError(f"{source}, line {number}: 1 column, expected 2, `path label`: {quoted(line)}")
    # No video file is called "x.mp4 3": that is a list with more columns, for example one of several labels.
    if re.search(r"[\s,;]-?\d+$", match["path"]):
        raise ValueError(
            f"{source}, line {number}: more than 2 columns, expected `path label` with one label ("
            f"{SEVERAL_LABELS}): {quoted(line)}"
        )
    return match["path"], [match["label"]]


def _many(request: ListRequest, number: int, line: str) -> tuple[str, list[str]]:
    match = LAST_INTEGERS.fullmatch(line)
    if match is not None:
        return match["path"], integers_in(match["numbers"])
    if _has_suffix(request, unquoted(line)):
        return line, []  # a video in which none of the classes is seen
    raise ValueError(
        f"{request.source}, line {number}: expected `path label label ...` with class indices: {quoted(line)}"
    )


FORMAT = ListFormat("path_list", recognises=lambda source, _lines: source.is_file(), read=read)
