"""Lists of labelled videos: a folder of class folders, a text list `path label`, or a csv with header `path,label`."""

import csv
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

VIDEO_SUFFIXES = frozenset({".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"})
CLASS_NAMES_FILE = "classes.txt"
_NAMED_IN_ERRORS = 3  # how many missing files an error spells out

# The label is the last column, since paths contain spaces; the separator is a comma, tabs or spaces.
_TEXT_LINE = re.compile(r"(?P<path>.*[^\s,])\s*[\s,]\s*(?P<label>[^\s,]+)")


class VideoEntry(NamedTuple):
    """One video and its class index."""

    path: Path
    label: int


class VideoList(NamedTuple):
    """The videos of one split.

    Attributes:
        entries: At least one video, in the list's order.
        class_names: Name of each class index, or None where the source has no names.
        source: Where the list came from, for messages.
    """

    entries: tuple[VideoEntry, ...]
    class_names: tuple[str, ...] | None
    source: str


class _Row(NamedTuple):
    line: int
    path: str
    label: str


def load_video_list(
    source: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
    classes: str | os.PathLike[str] | Sequence[str] | None = None,
    check_files: bool = True,
) -> VideoList:
    """Read the videos of one split.

    Three forms are told apart by what `source` is:

    - A folder: each subfolder is a class, its name the class name (spaces are kept), in sorted order; the videos are
      the files in it with a usual suffix (`VIDEO_SUFFIXES`), sorted.
    - A file whose first line is a header with the columns `path` and `label` (others are ignored): csv. The first row
      decides whether labels are class indices or class names. Names are looked up in `classes.txt`, or where there is
      none numbered in sorted order (of the names in this list: give every split the same `classes.txt`).
    - Any other file: a text list, one `path label` a line, separated by spaces, a tab or a comma. The label is a class
      index and the last column, so that paths may hold spaces. Blank lines are skipped.

    A file `classes.txt` (one name a line, in the order of the indices) beside a list gives the class names.

    Args:
        source: The folder or the list.
        root: Folder that relative paths in a list start from; without it the list's own folder.
        num_classes: Number of classes of the model. Every label must be below it, and class names, where there are any,
            must be as many.
        classes: Class names, or a file of them, in place of the `classes.txt` beside a list. For a folder the names of
            its subfolders must be among them, and their order gives the indices.
        check_files: Refuse a list that names missing files. Without it they are found out when they are read.

    Returns:
        The videos, with absolute or root-relative paths as the list gives them.

    Raises:
        FileNotFoundError: `source` does not exist, or files of a list are missing (counted, the first few by name and
            line).
        ValueError: A line is malformed, a label is bad, or there is no video; the message gives the file and the line.
    """
    source = Path(source)
    if source.is_dir():
        videos = _from_class_folders(source, _class_names(classes))
    elif source.is_file():
        beside = source.parent / CLASS_NAMES_FILE
        class_names = _class_names(beside if classes is None and beside.is_file() else classes)
        videos = _from_list(source, Path(root) if root is not None else source.parent, class_names, check_files)
    else:
        raise FileNotFoundError(f"no such folder or list of videos: {source}")
    if num_classes is not None and videos.class_names is not None and len(videos.class_names) != num_classes:
        raise ValueError(
            f"{source}: {len(videos.class_names)} classes, but num_classes is {num_classes}; set num_classes to "
            f"{len(videos.class_names)} or give the matching list"
        )
    return _with_checked_labels(videos, num_classes)


def _class_names(classes: str | os.PathLike[str] | Sequence[str] | None) -> tuple[str, ...] | None:
    if isinstance(classes, (str, os.PathLike)):
        return _read_class_names(Path(classes))
    return None if classes is None else tuple(classes)


def _with_checked_labels(videos: VideoList, num_classes: int | None) -> VideoList:
    limit = len(videos.class_names) if videos.class_names is not None else num_classes
    worst = max(videos.entries, key=lambda entry: entry.label)
    if limit is not None and worst.label >= limit:
        reason = f"num_classes is {limit}" if videos.class_names is None else f"there are {limit} class names"
        raise ValueError(
            f"{videos.source}: label {worst.label} of {worst.path} is out of range: {reason}, so labels go from 0 to "
            f"{limit - 1}"
        )
    return videos


def _from_class_folders(folder: Path, class_names: tuple[str, ...] | None) -> VideoList:
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    names = class_names or tuple(classes)
    strange = sorted(set(classes) - set(names))
    if strange:
        raise ValueError(f"{folder}: the subfolder {strange[0]!r} is not among the {len(names)} class names given")
    index_of = {name: index for index, name in enumerate(names)}
    entries = [
        VideoEntry(path, index_of[name])
        for name in classes
        for path in sorted((folder / name).iterdir())
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
    ]
    if not entries:
        raise ValueError(
            f"{folder}: no videos found; expected {folder.name}/CLASS NAME/video.mp4 (found {len(classes)} "
            "subfolders); is it the folder of one split?"
        )
    return VideoList(tuple(entries), names, str(folder))


def _from_list(source: Path, root: Path, class_names: tuple[str, ...] | None, check_files: bool) -> VideoList:
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.read_bytes()[: error.start].count(b"\n") + 1
        raise ValueError(f"{source}, line {line}: not UTF-8 text; save the list as UTF-8") from error
    lines = text.splitlines()
    header = [column.strip().lower() for column in lines[0].split(",")] if lines else []
    if "path" in header and "label" in header:
        rows = _csv_rows(source, lines, header)
        labels, class_names = _csv_labels(source, rows, class_names)
    else:
        rows = _text_rows(source, lines)
        labels = [_class_index(source, row) for row in rows]
    paths = [root / row.path for row in rows]
    if check_files:
        _check_files(source, rows, paths)
    entries = tuple(VideoEntry(path, label) for path, label in zip(paths, labels, strict=True))
    return VideoList(entries, class_names, str(source))


def _csv_rows(source: Path, lines: Sequence[str], header: Sequence[str]) -> list[_Row]:
    rows = []
    reader = csv.reader(lines, strict=True, skipinitialspace=True)
    try:
        next(reader)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise ValueError(
                    f"{source}, line {reader.line_num}: {len(cells)} columns, but the header has {len(header)} "
                    f"({','.join(header)}); quote a path that holds a comma"
                )
            path, label = cells[header.index("path")].strip(), cells[header.index("label")].strip()
            _check_cells(source, reader.line_num, path, label)
            rows.append(_Row(reader.line_num, path, label))
    except csv.Error as error:
        raise ValueError(f"{source}, line {reader.line_num}: not csv: {error}") from error
    if not rows:
        raise ValueError(f"{source}: no rows after the header; expected `path,label` lines")
    return rows


def _text_rows(source: Path, lines: Sequence[str]) -> list[_Row]:
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = _TEXT_LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"{source}, line {number}: 1 column, expected 2, `path label`: {line.strip()!r}")
        path, label = match["path"], match["label"]
        # No video file is called "x.mp4 3": that is a list with more columns, for example one of several labels.
        if re.search(r"[\s,]-?\d+$", path):
            raise ValueError(
                f"{source}, line {number}: more than 2 columns, expected `path label` with one label: {line.strip()!r}"
            )
        _check_cells(source, number, path, label)
        rows.append(_Row(number, path, label))
    if not rows:
        raise ValueError(f"{source}: no rows; expected one `path label` a line")
    return rows


def _check_cells(source: Path, line: int, path: str, label: str) -> None:
    for name, cell in (("path", path), ("label", label)):
        if not cell or "\0" in cell:
            raise ValueError(f"{source}, line {line}: the {name} is empty or holds a NUL character")


def _csv_labels(
    source: Path, rows: Sequence[_Row], class_names: tuple[str, ...] | None
) -> tuple[list[int], tuple[str, ...] | None]:
    if _is_integer(rows[0].label):
        return [_class_index(source, row) for row in rows], class_names
    names = class_names or tuple(sorted({row.label for row in rows}))
    index_of = {name: index for index, name in enumerate(names)}
    for row in rows:
        if row.label not in index_of:
            raise ValueError(
                f"{source}, line {row.line}: label {row.label!r} is not among the {len(names)} class names"
            )
    return [index_of[row.label] for row in rows], names


def _class_index(source: Path, row: _Row) -> int:
    # Not int() alone: it takes "1_0" and digits of other scripts, and very long ones raise another error.
    if not _is_integer(row.label):
        raise ValueError(
            f"{source}, line {row.line}: label {row.label!r} is not a class index (an integer from 0); "
            "class names need a csv with header path,label"
        )
    return int(row.label)


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,9}", text) is not None


def _read_class_names(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise FileNotFoundError(f"no such file of class names: {path}")
    try:
        names = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text; save it as UTF-8") from error
    names = [name.strip() for name in names if name.strip()]
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise ValueError(f"{path}: class name {repeated[0]!r} stands there more than once")
    if not names:
        raise ValueError(f"{path}: no class names; expected one name a line")
    return tuple(names)


def _check_files(source: Path, rows: Sequence[_Row], paths: Sequence[Path]) -> None:
    missing = [(row, path) for row, path in zip(rows, paths, strict=True) if not path.is_file()]
    if missing:
        named = "; ".join(f"line {row.line}: {path}" for row, path in missing[:_NAMED_IN_ERRORS])
        more = "; ..." if len(missing) > _NAMED_IN_ERRORS else ""
        raise FileNotFoundError(
            f"{source}: {len(missing)} of {len(rows)} files are missing ({named}{more}); "
            "set root to the folder that the paths start from, or take the lines out"
        )
