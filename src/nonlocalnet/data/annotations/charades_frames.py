"""PySlowFast's csv of Charades: a row a frame of the extracted frames, separated by spaces.

    original_vido_id video_id frame_id path labels
    46GP8 0 0 46GP8/46GP8-000001.jpg ""
    46GP8 0 1 46GP8/46GP8-000002.jpg "92,147"

A class is seen from the first frame to the last of each run of rows that name it. The frames are 24 a second.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from nonlocalnet.data.annotations.charades import FPS, NUM_CLASSES
from nonlocalnet.data.annotations.entries import Action, Found, FrameFiles, ListFormat, ListRequest, Read
from nonlocalnet.data.annotations.lines import check_cell, class_index
from nonlocalnet.system.visible import cut, quoted

FIRST_COLUMN = "original_vido_id"  # misspelt in the published files

_FILE_NAME = re.compile(r"(?P<start>.*?)(?P<number>\d+)(?P<end>\.[^.]*)?", re.DOTALL | re.ASCII)


class _Frame(NamedTuple):
    line: int
    video: str
    folder: str
    files: FrameFiles
    number: int
    labels: tuple[int, ...]


def read(request: ListRequest, lines: Sequence[str]) -> Read:
    """Read the rows of every video, which stand together.

    Raises:
        ValueError: With the file and the line.
    """
    videos: list[Found] = []
    seen: set[str] = set()
    rows: list[_Frame] = []
    for frame in _frames(request.source, lines):
        if rows and frame.video != rows[0].video:
            videos.append(_video(request, rows))
            rows = []
        if not rows and frame.video in seen:
            raise ValueError(
                f"{request.source}, line {frame.line}: rows of video {cut(frame.video)} also stand further up"
            )
        if rows and (frame.folder, frame.files, frame.number) != (*rows[-1][2:4], rows[-1].number + 1):
            raise ValueError(
                f"{request.source}, line {frame.line}: the frames of {cut(frame.video)} do not follow one another: "
                f"number {frame.number} of {cut(frame.folder)} comes after {rows[-1].number} of {cut(rows[-1].folder)}"
            )
        seen.add(frame.video)
        rows.append(frame)
    if not rows:
        raise ValueError(f"{request.source}: no rows after the header; expected one a frame")
    return Read([*videos, _video(request, rows)], None)


def _frames(source: Path, lines: Sequence[str]) -> Iterator[_Frame]:
    for line, text in enumerate(lines[1:], start=2):
        cells = text.split()
        if not cells:
            continue
        if len(cells) != 5:
            raise ValueError(
                f"{source}, line {line}: {len(cells)} columns, expected 5, "
                f"`original_vido_id video_id frame_id path labels`: {quoted(text.strip())}"
            )
        path = PurePath(check_cell(source, line, "path", cells[3]))
        match = _FILE_NAME.fullmatch(path.name)
        if match is None or len(match["number"]) > 9:
            raise ValueError(f"{source}, line {line}: the frame's file name has no number: {quoted(cells[3])}")
        files = FrameFiles(match["start"], len(match["number"]), match["end"] or "", first=0)
        labels = tuple(class_index(source, line, cell) for cell in cells[4].replace('"', "").split(",") if cell)
        yield _Frame(line, cells[0], str(path.parent), files, int(match["number"]), labels)


def _video(request: ListRequest, rows: Sequence[_Frame]) -> Found:
    frames = rows[0].files._replace(first=rows[0].number, total=len(rows))
    actions = _runs([row.labels for row in rows])
    labels = tuple(sorted({action.label for action in actions}))
    lines = range(rows[0].line, rows[-1].line + 1)
    return Found(request.root / rows[0].folder, labels, actions, frames, FPS, lines)


def _runs(labels_of_frames: Sequence[tuple[int, ...]]) -> tuple[Action, ...]:
    """When each class is seen, from the class indices of each frame; in the order in which they begin."""
    open_since: dict[int, int] = {}
    actions = []
    for frame, labels in enumerate([*labels_of_frames, ()]):
        for label in sorted(open_since.keys() - set(labels)):
            actions.append(Action(label, open_since.pop(label) / FPS, (frame - 1) / FPS))
        for label in labels:
            open_since.setdefault(label, frame)
    return tuple(sorted(actions, key=lambda action: (action.start, action.label)))


FORMAT = ListFormat(
    "charades_frames",
    recognises=lambda _source, lines: bool(lines) and lines[0].split()[:1] == [FIRST_COLUMN],
    read=read,
    multi_label_classes=NUM_CLASSES,
)
