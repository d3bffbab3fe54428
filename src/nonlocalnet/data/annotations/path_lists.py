r"""Text lists, a video a line and no header: of video files, and of folders of extracted frames.

    some/path/000.mp4 1          path_list: PySlowFast's train.csv, mmaction2, video-nonlocal-net's trainlist.txt
    some/path/000.mp4 0 2 4      the same, multi-label
    some/path/000.mp4\tarchery   the same with class names, after the line's only tab
    some/folder 120 1            frame_list: mmaction2; 120 images img_00001.jpg to img_00120.jpg in the folder

The separator is spaces, a tab or a comma. Labels are the last columns, so that paths may hold spaces. The first line
decides whether labels are class names, which are numbered as in `path_csv`.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from nonlocalnet.data.annotations.class_names import named_labels
from nonlocalnet.data.annotations.entries import VIDEO_SUFFIXES, Asked, Found, FrameFiles, Read
from nonlocalnet.data.annotations.text import check_cell, class_index, is_integer

_LAST_COLUMN = re.compile(r"(?P<path>.*[^\s,])\s*[\s,]\s*(?P<label>[^\s,]+)", re.DOTALL)
# The path, then as many integers as there are.
_LAST_INTEGERS = re.compile(r"(?P<path>.*?[^\s,])(?P<numbers>(?:\s*[\s,]\s*-?\d+)+)", re.DOTALL | re.ASCII)


def looks_like_frames(line: str) -> bool:
    """Whether a line is of a frame list: two integers or more after a name that has no video's suffix."""
    match = _LAST_INTEGERS.fullmatch(line.strip())
    if match is None or PurePath(match["path"]).suffix.lower() in VIDEO_SUFFIXES:
        return False
    return len(_integers(match["numbers"])) >= 2


def read_videos(asked: Asked, lines: Sequence[str]) -> Read:
    """Read `path label` lines, in multi-label lists `path label label ...`.

    Raises:
        ValueError: With the file and the line.
    """
    source = asked.source
    split = _many if asked.multi_label else _single
    rows = [(number, *split(source, number, line)) for number, line in _filled(source, lines, "path label")]
    for number, path, _ in rows:
        check_cell(source, number, "path", path)
    names = None
    first, _, labels = rows[0]
    if not asked.multi_label and lines[first - 1].strip().count("\t") == 1 and not is_integer(labels[0]):
        indices, names = named_labels(source, [(number, labels[0]) for number, _, labels in rows], asked.class_names)
        classes = [(index,) for index in indices]
    else:
        classes = [tuple(class_index(source, number, label) for label in labels) for number, _, labels in rows]
    videos = [
        Found(asked.root / path, labels, lines=range(number, number + 1))
        for (number, path, _), labels in zip(rows, classes, strict=True)
    ]
    return Read(videos, names)


def read_frames(asked: Asked, lines: Sequence[str]) -> Read:
    """Read `folder total_frames label` lines, in multi-label lists with any number of labels.

    Raises:
        ValueError: With the file and the line.
    """
    videos = []
    for number, line in _filled(asked.source, lines, "folder total_frames label"):
        path, total, labels = _folder_line(asked, number, line)
        check_cell(asked.source, number, "folder", path)
        indices = tuple(class_index(asked.source, number, label) for label in labels)
        frames = FrameFiles("img_", 5, total=total)  # mmaction2's default, img_{:05}.jpg from 1
        videos.append(Found(asked.root / path, indices, frames=frames, lines=range(number, number + 1)))
    return Read(videos, None)


def _filled(source: Path, lines: Sequence[str], expected: str) -> Iterator[tuple[int, str]]:
    """(number, stripped text) of the lines that are not blank.

    Raises:
        ValueError: There is none.
    """
    empty = True
    for number, line in enumerate(lines, start=1):
        if line.strip():
            empty = False
            yield number, line.strip()
    if empty:
        raise ValueError(f"{source}: no rows; expected one `{expected}` a line")


def _single(source: Path, number: int, line: str) -> tuple[str, list[str]]:
    if line.count("\t") == 1:
        path, label = (cell.strip() for cell in line.split("\t"))
        return path, [check_cell(source, number, "label", label)]
    match = _LAST_COLUMN.fullmatch(line)
    if match is None:
        raise ValueError(f"{source}, line {number}: 1 column, expected 2, `path label`: {line!r}")
    # No video file is called "x.mp4 3": that is a list with more columns, for example one of several labels.
    if re.search(r"[\s,]-?\d+$", match["path"]):
        raise ValueError(
            f"{source}, line {number}: more than 2 columns, expected `path label` with one label (several labels "
            f"need multi_label): {line!r}"
        )
    return match["path"], [match["label"]]


def _many(source: Path, number: int, line: str) -> tuple[str, list[str]]:
    match = _LAST_INTEGERS.fullmatch(line)
    if match is not None:
        return match["path"], _integers(match["numbers"])
    if PurePath(line).suffix.lower() in VIDEO_SUFFIXES:
        return line, []  # a video in which none of the classes is seen
    raise ValueError(f"{source}, line {number}: expected `path label label ...` with class indices: {line!r}")


def _folder_line(asked: Asked, number: int, line: str) -> tuple[str, int, list[str]]:
    match = _LAST_INTEGERS.fullmatch(line)
    numbers = _integers(match["numbers"]) if match is not None else []
    if match is None or len(numbers) < (1 if asked.multi_label else 2):
        raise ValueError(
            f"{asked.source}, line {number}: expected 3 columns, `folder total_frames label`, with integers: {line!r}"
        )
    path = match["path"]
    if not asked.multi_label:  # integers before the last two belong to the folder's name
        path, numbers = line[: _start_of_last(line, 2)].rstrip(" \t,"), numbers[-2:]
    total = class_index(asked.source, number, numbers[0]) if not numbers[0].startswith("-") else 0
    if total < 1:
        raise ValueError(f"{asked.source}, line {number}: total_frames must be at least 1, got {numbers[0]}")
    return path, total, numbers[1:]


def _start_of_last(line: str, count: int) -> int:
    return [match.start() for match in re.finditer(r"[^\s,]+", line)][-count]


def _integers(text: str) -> list[str]:
    return re.findall(r"-?\d+", text, re.ASCII)
