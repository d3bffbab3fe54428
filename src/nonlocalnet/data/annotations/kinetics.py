"""Kinetics' csv as published, and the files that downloads of it have.

    label,youtube_id,time_start,time_end,split,is_cc       Kinetics-400; 600 and 700 have no is_cc
    "air drumming",--nQbRBEz2s,104,114,val,0               the test list of 600 has no label

The video of a row is the file below the root, at any depth, whose name starts with the 11 characters of `youtube_id`:
`--nQbRBEz2s_000104_000114.mp4`, `--nQbRBEz2s.mp4`, in class folders or not. Of several, the one with the row's times
goes first, then the one in the folder of the row's class. Classes are numbered in alphabetical order, as published.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from nonlocalnet.data.annotations.class_names import named_labels, spoken
from nonlocalnet.data.annotations.entries import VIDEO_SUFFIXES, Found, ListFormat, ListRequest, Read
from nonlocalnet.data.annotations.lines import CsvRow, csv_rows, header_of
from nonlocalnet.system.below import files_below
from nonlocalnet.system.visible import quoted

COLUMN = "youtube_id"

_ID_LENGTH = 11


def read(request: ListRequest, lines: Sequence[str]) -> Read:
    """Read the rows and find their files.

    Raises:
        ValueError: With the file and the line.
    """
    source = request.source
    rows = csv_rows(source, lines, required=(COLUMN,), quote="label")
    files = _files_by_id(request.root)
    videos = []
    for row in rows:
        youtube_id = row.cells[COLUMN]
        if len(youtube_id) != _ID_LENGTH or "/" in youtube_id or "\0" in youtube_id:
            raise ValueError(f"{source}, line {row.line}: youtube_id must have 11 characters, got {quoted(youtube_id)}")
        videos.append(Found(_file_of(row, _stem(source, row), files, request.root), (), lines=row.lines))
    named = [(row.line, row.cells["label"]) for row in rows if row.cells.get("label")]
    if named and len(named) < len(rows):
        line = next(row.line for row in rows if not row.cells["label"])
        raise ValueError(f"{source}, line {line}: the label is empty, but other rows have one")
    if not named:
        return Read(videos, None)
    indices, names = named_labels(source, named, request.class_names)
    return Read([video._replace(labels=(index,)) for video, index in zip(videos, indices, strict=True)], names)


def _stem(source: Path, row: CsvRow) -> str:
    """The official crawler's file name of a row, without suffix; the bare id where the row has no times."""
    times = [row.cells.get(column, "") for column in ("time_start", "time_end")]
    if not any(times):
        return row.cells[COLUMN]
    try:
        return "{}_{:06d}_{:06d}".format(row.cells[COLUMN], *(round(float(time)) for time in times))
    except (ValueError, OverflowError):
        raise ValueError(
            f"{source}, line {row.line}: time_start and time_end must be seconds, got {', '.join(map(repr, times))}"
        ) from None


def _files_by_id(root: Path) -> dict[str, list[Path]]:
    found = defaultdict(list)
    for file in files_below(root):
        if file.suffix.lower() in VIDEO_SUFFIXES and file.stem[_ID_LENGTH : _ID_LENGTH + 1] in ("", "_", "."):
            found[file.stem[:_ID_LENGTH]].append(file)
    return found


def _file_of(row: CsvRow, stem: str, files: dict[str, list[Path]], root: Path) -> Path:
    def unlikeliness(path: Path) -> tuple[bool, bool]:
        return not path.name.startswith(stem), spoken(path.parent.name) != spoken(row.cells.get("label", ""))

    candidates = files.get(row.cells[COLUMN])
    return min(candidates, key=unlikeliness) if candidates else root / f"{stem}.mp4"


FORMAT = ListFormat(
    "kinetics",
    recognises=lambda _source, lines: COLUMN in header_of(lines),
    read=read,
    names_paths=False,
)
