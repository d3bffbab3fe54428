"""Labelled texts: a csv of `text,label`, or class folders of text files.

    text,label                        reviews/train/good/1.txt
    "A fine, quiet film.",good        reviews/train/good/2.txt
    Too long.,bad                     reviews/train/bad/1.txt

A csv is separated by commas, semicolons or tabs; its header may call the columns by other names (`sentence,class`,
`review,sentiment`); other columns are ignored, and the first row decides whether labels are class
indices or names, as in lists of videos. Texts are UTF-8, with or without the mark at their start.
"""

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from nonlocalnet.data.annotations import CLASS_NAMES_FILE, Media, load_video_list
from nonlocalnet.data.annotations.class_names import class_names_of, labels_of_cells
from nonlocalnet.data.annotations.lines import CsvRow, check_cell, csv_rows, header_of, read_lines, read_text
from nonlocalnet.data.annotations.path_csv import LABEL_NAMES
from nonlocalnet.system.media import refuse_media
from nonlocalnet.system.odd_files import require_file

TEXTS = Media("text", frozenset({".txt", ".md", ".rst"}), ".txt", formats=("class_folders",))
# What others call the column, in the order in which they are taken.
_TEXT_NAMES = ("text", "sentence", "document", "content", "review", "body")
_LABEL_NAMES = (*LABEL_NAMES, "sentiment")
_LONGEST_CELL = 2**30  # characters; csv's own limit is 131,072, which a chapter exceeds


class TextEntry(NamedTuple):
    """One text, without white space around it, and its class index."""

    text: str
    label: int


class TextList(NamedTuple):
    """The texts of one split.

    Attributes:
        entries: At least one text, in the list's order.
        class_names: Name of each class index, or None where the source has no names.
        source: Where the texts came from, for messages.
    """

    entries: tuple[TextEntry, ...]
    class_names: tuple[str, ...] | None
    source: str


def load_text_list(
    source: str | os.PathLike[str],
    *,
    num_classes: int | None = None,
    classes: str | os.PathLike[str] | Sequence[str] | None = None,
) -> TextList:
    """Read the texts of one split.

    Args:
        source: The csv, or the folder of class folders.
        num_classes: Number of classes of the model: every label must be below it, and there must be as many names.
        classes: Class names, or a file of them, in place of the `classes.txt` beside a csv. For a folder the names of
            its subfolders must be among them, and their order gives the indices.

    Raises:
        FileNotFoundError: `source` does not exist.
        ValueError: A file is not UTF-8 (with the byte), a row is malformed, a label bad or a text empty (with the file
            and the line), or there is no text.
    """
    source = Path(source)
    if source.is_dir():
        return _from_folders(source, num_classes=num_classes, classes=classes)
    require_file(source)
    beside = source.parent / CLASS_NAMES_FILE
    names = class_names_of(beside if classes is None and beside.is_file() else classes)
    lines = read_lines(source)
    header = header_of(lines)
    text = next((name for name in _TEXT_NAMES if name in header), "text")
    label = next((name for name in _LABEL_NAMES if name in header), "label")
    with _long_cells():
        rows = csv_rows(source, lines, required=(text, label), quote=text)
    for row in rows:
        check_cell(source, row.line, text, row.cells[text])
        check_cell(source, row.line, label, row.cells[label])
    labels, names = labels_of_cells(source, [(row.line, row.cells[label]) for row in rows], names)
    _check_labels(source, rows, labels, names=names, num_classes=num_classes)
    entries = (TextEntry(row.cells[text], index) for row, index in zip(rows, labels, strict=True))
    return TextList(tuple(entries), names, str(source))


def read_text_file(path: str | os.PathLike[str]) -> str:
    """A text file without white space around the text.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no regular file, not a text, not UTF-8 (with the line and the byte), or empty.
    """
    path = Path(path)
    require_file(path)
    refuse_media(path, expected="a text")
    text = read_text(path).strip()
    if not text:
        raise ValueError(f"{path}: the text is empty; leave it out")
    return text


def _from_folders(
    folder: Path, *, num_classes: int | None, classes: str | os.PathLike[str] | Sequence[str] | None
) -> TextList:
    found = load_video_list(folder, num_classes=num_classes, classes=classes, multi_label=False, media=TEXTS)
    entries = (TextEntry(read_text_file(entry.path), int(entry.label)) for entry in found.entries)
    return TextList(tuple(entries), found.class_names, found.source)


def _check_labels(
    source: Path,
    rows: Sequence[CsvRow],
    labels: Sequence[int],
    *,
    names: tuple[str, ...] | None,
    num_classes: int | None,
) -> None:
    if names is not None and num_classes is not None and len(names) != num_classes:
        raise ValueError(
            f"{source}: {len(names)} classes, but num_classes is {num_classes}; set num_classes to {len(names)}, or "
            f"name all classes in order ({CLASS_NAMES_FILE} beside it, or `classes`)"
        )
    limit = len(names) if names is not None else num_classes
    place = max(range(len(labels)), key=labels.__getitem__)
    if limit is not None and labels[place] >= limit:
        raise ValueError(
            f"{source}, line {rows[place].line}: label {labels[place]} is out of range: there are {limit} classes, so "
            f"labels go from 0 to {limit - 1}"
        )


@contextmanager
def _long_cells() -> Iterator[None]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)
