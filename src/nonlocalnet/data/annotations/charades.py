"""Charades' csv as published, `Charades_v1_train.csv` and `Charades_v1_test.csv`.

    id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length
    46GP8,HR43,Kitchen,6,7,Yes,"A person, cooking.",food;stove,"...",c092 11.90 21.20;c147 0.00 12.60,24.83

157 classes, c000 to c156, several a video; seconds. A row without actions is a video in which none of them is seen.
Its video is the folder of extracted frames `root/ID/ID-000001.jpg`, 24 a second as published, or else the file
`root/ID.mp4`, which has a frame rate of its own and is sampled by time at 24 frames a second. Names come from
`Charades_v1_classes.txt` beside the csv.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from nonlocalnet.data.annotations.class_names import read_class_names
from nonlocalnet.data.annotations.entries import (
    VIDEO_SUFFIXES,
    Action,
    Found,
    FrameFiles,
    ListFormat,
    ListRequest,
    Read,
)
from nonlocalnet.data.annotations.lines import CsvRow, check_cell, csv_rows, header_of
from nonlocalnet.system.visible import quoted

COLUMNS = ("id", "actions")
CLASSES_FILE = "Charades_v1_classes.txt"
NUM_CLASSES = 157
FPS = 24.0  # of the published extracted frames
_CLASS = re.compile(r"c[0-9]{3}")


def read(request: ListRequest, lines: Sequence[str]) -> Read:
    """Read the rows and find their frames or files.

    Raises:
        ValueError: With the file and the line.
    """
    rows = csv_rows(request.source, lines, required=COLUMNS, quote="script")
    videos = []
    for row in rows:
        name = check_cell(request.source, row.line, "id", row.cells["id"])
        if "/" in name:
            raise ValueError(f"{request.source}, line {row.line}: the id is not a file name: {quoted(name)}")
        actions = _actions(request.source, row)
        path, frames = _video(request.root, name)
        labels = tuple(sorted({action.label for action in actions}))
        videos.append(Found(path, labels, actions, frames, FPS, row.lines))
    beside = request.source.parent / CLASSES_FILE
    names = request.class_names or (read_class_names(beside) if beside.is_file() else None)
    return Read(videos, names)


def _actions(source: Path, row: CsvRow) -> tuple[Action, ...]:
    actions = []
    for text in filter(None, (part.strip() for part in row.cells["actions"].split(";"))):
        cells = text.split()
        try:
            name, start, end = cells[0], *map(float, cells[1:])
            if _CLASS.fullmatch(name) is None or not (math.isfinite(start) and math.isfinite(end)):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"{source}, line {row.line}: expected actions such as `c092 11.90 21.20;c147 0.00 12.60`, "
                f"got {quoted(text)}"
            ) from None
        actions.append(Action(int(name[1:]), min(start, end), max(start, end)))
    return tuple(actions)


def _video(root: Path, name: str) -> tuple[Path, FrameFiles | None]:
    if (root / name).is_dir():
        return root / name, FrameFiles(f"{name}-", 6)
    files = (root / f"{name}{suffix}" for suffix in (".mp4", *sorted(VIDEO_SUFFIXES)))
    return next((path for path in files if path.is_file()), root / f"{name}.mp4"), None


FORMAT = ListFormat(
    "charades",
    recognises=lambda _source, lines: set(COLUMNS) <= set(header_of(lines)),
    read=read,
    names_paths=False,
    multi_label_classes=NUM_CLASSES,
)
