"""The names of the classes, and which index each has."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from nonlocalnet.data.annotations.lines import class_index, is_integer, read_lines
from nonlocalnet.system.visible import quoted

CLASS_NAMES_FILE = "classes.txt"

_CHARADES_LINE = re.compile(r"c(?P<index>\d{3}) (?P<name>.*\S)")  # c000 Holding some clothes


def class_names_of(classes: str | os.PathLike[str] | Sequence[str] | None) -> tuple[str, ...] | None:
    """Names given directly or as a file of them; None stays None."""
    if isinstance(classes, (str, os.PathLike)):
        return read_class_names(Path(classes))
    return None if classes is None else tuple(classes)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Read one name a line, in the order of the indices; Charades' `c000 name` lines give the name alone.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not UTF-8, holds no name, or one twice.
    """
    if not path.exists():
        raise FileNotFoundError(f"no such file of class names: {path}")
    names = [line.strip() for line in read_lines(path) if line.strip()]
    if not names:
        raise ValueError(f"{path}: no class names; expected one name a line")
    numbered = [_CHARADES_LINE.fullmatch(name) for name in names]
    if all(match is not None and int(match["index"]) == i for i, match in enumerate(numbered)):
        names = [match["name"] for match in numbered if match is not None]
    require_distinct_names(path, names)
    return tuple(names)


def require_distinct_names(path: Path, names: Sequence[str]) -> None:
    """Refuse names by which two classes could not be told apart, or that are none.

    Raises:
        ValueError: Naming the file and the name.
    """
    odd = next((name for name in names if not name or any("\ud800" <= letter <= "\udfff" for letter in name)), None)
    if odd is not None:
        raise ValueError(f"{path}: {quoted(odd)} is no class name")
    if len(set(names)) < len(names):
        repeated = min(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path}: class name {quoted(repeated)} stands there more than once")


def spoken(folder: str) -> str:
    """A class folder's name with spaces for `_`: folders of Kinetics are written either way."""
    return folder.replace("_", " ")


def index_by_name(names: Sequence[str]) -> dict[str, int]:
    """Class index of each name, and of the name with `_` for its spaces where no other class has that name."""
    written = {name.replace(" ", "_"): index for index, name in enumerate(names)}
    return {**written, **{name: index for index, name in enumerate(names)}}


def labels_of_cells(
    source: Path, cells: Sequence[tuple[int, str]], class_names: tuple[str, ...] | None
) -> tuple[list[int], tuple[str, ...] | None]:
    """Class indices of a column, whose first cell decides whether it holds indices or names, and the classes' names.

    Args:
        source: The list, for messages.
        cells: (line, label) of every row, at least one.
        class_names: Names by index, where they are known.

    Raises:
        ValueError: A cell is no index, or no name, as `named_labels` says; with the line.
    """
    if is_integer(cells[0][1]):
        return [class_index(source, line, cell) for line, cell in cells], class_names
    return named_labels(source, cells, class_names)


def named_labels(
    source: Path, labels: Sequence[tuple[int, str]], class_names: tuple[str, ...] | None
) -> tuple[list[int], tuple[str, ...]]:
    """Class indices of the names in a list, in the order of `class_names`, or else in sorted order.

    A list may write `_` for the spaces of given names.

    Args:
        source: The list, for messages.
        labels: (line, class name) of every row.
        class_names: Names by index, where they are known.

    Raises:
        ValueError: A name is not among `class_names`; or, where these are not known, a name is a number beside names
            that are none, or "nan", which writers of tables put where a value is missing.
    """
    if class_names is None:
        _check_names(source, labels)
    names = class_names or tuple(sorted({name for _, name in labels}))
    index_of = index_by_name(names)
    for line, name in labels:
        if name not in index_of:
            raise ValueError(f"{source}, line {line}: label {quoted(name)} is not among the {len(names)} class names")
    return [index_of[name] for _, name in labels], names


def _check_names(source: Path, labels: Sequence[tuple[int, str]]) -> None:
    number = next(((line, name) for line, name in labels if is_integer(name)), None)
    other = next(((line, name) for line, name in labels if not is_integer(name)), None)
    if number is not None and other is not None:
        raise ValueError(
            f"{source}: label {quoted(other[1])} in line {other[0]} is a name, "
            f"{quoted(number[1])} in line {number[0]} a number; "
            "give every video a class index, or every video a class name"
        )
    for line, name in labels:
        if name.lower() == "nan":
            raise ValueError(
                f"{source}, line {line}: label {quoted(name)} is a missing value: name the class or leave it out"
            )
