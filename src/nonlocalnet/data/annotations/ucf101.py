"""UCF101's lists: `trainlist01.txt` and `testlist01.txt`, with `classInd.txt` beside them.

    classInd.txt       1 ApplyEyeMakeup
    trainlist01.txt    ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1
    testlist01.txt     ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi

The published numbers count from 1, class indices here from 0. A test list gives no number: the class is the folder.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from nonlocalnet.data.annotations.entries import Found, ListFormat, ListRequest, Read
from nonlocalnet.data.annotations.lines import check_cell, read_lines
from nonlocalnet.system.visible import quoted

CLASSES_FILE = "classInd.txt"

_LIST_NAME = re.compile(r"(train|test)list\d+\.txt")


def is_list(source: Path) -> bool:
    """Whether a file is one of the lists: by its name, and by `classInd.txt` beside it."""
    return _LIST_NAME.fullmatch(source.name) is not None and (source.parent / CLASSES_FILE).is_file()


def read(request: ListRequest, lines: Sequence[str]) -> Read:
    """Read the lines; the class is that of the folder, and a number after the path must agree.

    Raises:
        FileNotFoundError: There is no `classInd.txt` beside the list.
        ValueError: With the file and the line.
    """
    source = request.source
    names = _class_names(source.parent / CLASSES_FILE)
    index_of = {name: index for index, name in enumerate(names)}
    videos = []
    for number, line in enumerate(lines, start=1):
        cells = line.split()
        if not cells:
            continue
        path = check_cell(source, number, "path", cells[0])
        folder = path.split("/")[0]
        if len(cells) > 2 or "/" not in path:
            raise ValueError(
                f"{source}, line {number}: expected `CLASS/video.avi` or `CLASS/video.avi n`: {quoted(line)}"
            )
        if folder not in index_of:
            raise ValueError(f"{source}, line {number}: class {quoted(folder)} is not in {CLASSES_FILE}")
        if len(cells) == 2 and cells[1] != str(index_of[folder] + 1):
            raise ValueError(
                f"{source}, line {number}: {folder} is class {index_of[folder] + 1} in {CLASSES_FILE}, "
                f"but {cells[1]} here"
            )
        videos.append(Found(request.root / path, (index_of[folder],), lines=range(number, number + 1)))
    if not videos:
        raise ValueError(f"{source}: no rows; expected one `CLASS/video.avi n` a line")
    return Read(videos, names)


def _class_names(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise FileNotFoundError(f"no {CLASSES_FILE} beside the list: {path}")
    names = []
    for number, line in enumerate(read_lines(path), start=1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 2 or cells[0] != str(len(names) + 1) or cells[1] in names:
            raise ValueError(
                f"{path}, line {number}: expected `{len(names) + 1} NAME` with a new name: {quoted(line.strip())}"
            )
        names.append(cells[1])
    if not names:
        raise ValueError(f"{path}: no classes; expected `1 NAME` and so on")
    return tuple(names)


FORMAT = ListFormat("ucf101", recognises=lambda source, _lines: is_list(source), read=read)
