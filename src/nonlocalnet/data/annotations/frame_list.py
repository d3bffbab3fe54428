"""Text lists of folders of extracted frames, a folder a line and no header (mmaction2).

    some/folder 120 1            120 images img_00001.jpg to img_00120.jpg in the folder
    some/folder 120 0 2 4        the same, multi-label

The separator is spaces, a tab, a comma or a semicolon. Numbers are the last columns, so that folders may hold spaces.
"""

import re
from collections.abc import Sequence
from pathlib import PurePath

from nonlocalnet.data.annotations.entries import VIDEO_SUFFIXES, Found, FrameFiles, ListFormat, ListRequest, Read
from nonlocalnet.data.annotations.lines import (
    LAST_INTEGERS,
    check_cell,
    class_index,
    filled_lines,
    integers_in,
    unquoted,
)
from nonlocalnet.system.visible import quoted


def read(request: ListRequest, lines: Sequence[str]) -> Read:
    """Read `folder total_frames label` lines, in multi-label lists with any number of labels.

    Raises:
        ValueError: With the file and the line.
    """
    videos = []
    for number, line in filled_lines(request.source, lines, "folder total_frames label"):
        path, total, labels = _folder_line(request, number, line)
        check_cell(request.source, number, "folder", path)
        indices = tuple(class_index(request.source, number, label) for label in labels)
        frames = FrameFiles("img_", 5, total=total)  # mmaction2's default, img_{:05}.jpg from 1
        videos.append(Found(request.root / path, indices, frames=frames, lines=range(number, number + 1)))
    return Read(videos, None)


def looks_like_frames(line: str) -> bool:
    """Whether a line is of a frame list: two integers or more after a name that has no video's suffix."""
    match = LAST_INTEGERS.fullmatch(line.strip())
    if match is None or PurePath(unquoted(match["path"])).suffix.lower() in VIDEO_SUFFIXES:
        return False
    return len(integers_in(match["numbers"])) >= 2


def _folder_line(request: ListRequest, number: int, line: str) -> tuple[str, int, list[str]]:
    match = LAST_INTEGERS.fullmatch(line)
    numbers = integers_in(match["numbers"]) if match is not None else []
    if match is None or len(numbers) < (1 if request.multi_label else 2):
        raise ValueError(
            f"{request.source}, line {number}: expected 3 columns, `folder total_frames label`, with integers: "
            f"{quoted(line)}"
        )
    path = match["path"]
    if not request.multi_label:  # integers before the last two belong to the folder's name
        path, numbers = line[: _start_of_last(line, 2)].rstrip(" \t,;"), numbers[-2:]
    total = class_index(request.source, number, numbers[0]) if not numbers[0].startswith("-") else 0
    if total < 1:
        raise ValueError(f"{request.source}, line {number}: total_frames must be at least 1, got {numbers[0]}")
    return unquoted(path), total, numbers[1:]


def _start_of_last(line: str, count: int) -> int:
    return [match.start() for match in re.finditer(r"[^\s,;]+", line)][-count]


FORMAT = ListFormat(
    "frame_list",
    recognises=lambda _source, lines: looks_like_frames(next((line for line in lines if line.strip()), "")),
    read=read,
)
