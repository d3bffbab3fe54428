"""Reading lines, their columns and csv rows so that every complaint names the file and the line."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from nonlocalnet.system.media import refuse_media
from nonlocalnet.system.odd_files import require_file
from nonlocalnet.system.visible import cut, quoted

LIST_SUFFIXES = frozenset({".csv", ".tsv", ".txt"})

# Marks of encodings at the start of a text.
_OTHER_ENCODINGS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
# First bytes of what people save in place of a text.
_OTHER_FILES = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an Excel workbook or Word document"),
    (b"\x1f\x8b", "a gzip archive"),
)
# What stands between the columns of a csv: Excel writes semicolons where the comma is for decimals.
_SEPARATORS = (",", ";", "\t")

# A path, then as many integers as there are, after spaces, tabs, commas or semicolons.
LAST_INTEGERS = re.compile(r"(?P<path>.*?[^\s,;])(?P<numbers>(?:\s*[\s,;]\s*-?\d+)+)", re.DOTALL | re.ASCII)


class CsvRow(NamedTuple):
    """A row under a header.

    Attributes:
        lines: Lines of the file that it takes, from 1; a quoted cell may hold line breaks.
        cells: Column name in lower case to its stripped text.
    """

    lines: range
    cells: dict[str, str]

    @property
    def line(self) -> int:
        """Where the row ends, as errors name it."""
        return self.lines[-1]


def read_text(path: Path) -> str:
    """A UTF-8 text, with or without the mark at its start, which is left out.

    Raises:
        ValueError: It is not UTF-8, or holds zero bytes; the message gives the line and the byte. Or it is an archive.
    """
    data = path.read_bytes()
    archive = next((name for mark, name in _OTHER_FILES if data.startswith(mark)), None)
    if archive is not None:
        raise ValueError(
            f"{path} is {archive}, expected UTF-8 text; unpack it, or save it as text (in Excel: CSV UTF-8)"
        )
    other = next((name for mark, name in _OTHER_ENCODINGS if data.startswith(mark)), None)
    if other is not None:
        raise ValueError(f"{path}: {other} text, expected UTF-8; save it as UTF-8 (in Excel: CSV UTF-8)")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line, place = data[: error.start].count(b"\n") + 1, f"byte {error.start} is 0x{data[error.start]:02x}"
        raise ValueError(f"{path}, line {line}: not UTF-8 text ({place}); save it as UTF-8") from error
    zero = data.find(b"\0")
    if zero >= 0:
        line = data[:zero].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: zero bytes, as in UTF-16 text or no text at all (the first is byte {zero}); "
            "save it as UTF-8"
        )
    return data.decode("utf-8-sig")


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text, with their line breaks.

    Raises:
        ValueError: It is not UTF-8; the message gives the line. Or it is a video, or begins with Excel's own `sep=;`.
    """
    require_file(path)
    refuse_media(path, expected="a text, such as a list of videos,")
    text = read_text(path)
    if re.match(r"sep=.[\r\n]", text):
        raise ValueError(f"{path}, line 1: Excel's {text[:5]!r} is neither a header nor a row; delete the line")
    # Not splitlines(): it also breaks at form feeds and the like, and then line numbers are not an editor's.
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", text)


def header_of(lines: Sequence[str]) -> list[str]:
    """The first line as column names in lower case; empty for an empty file or a line that is not csv."""
    return _header(lines)[0]


def _header(lines: Sequence[str]) -> tuple[list[str], str]:
    """Column names, and what separates them: that which gives the most."""
    found: list[tuple[list[str], str]] = []
    for separator in _SEPARATORS:
        try:
            cells = next(csv.reader([lines[0].strip("\r\n ")], skipinitialspace=True, delimiter=separator), [])
        except (csv.Error, IndexError):
            continue
        found.append(([cell.strip().lower() for cell in cells], separator))
    return max(found, key=lambda header: len(header[0]), default=([], ","))


def csv_rows(path: Path, lines: Sequence[str], *, required: Sequence[str], quote: str) -> list[CsvRow]:
    """The rows under the header, blank ones skipped.

    Args:
        path: The file, for messages.
        lines: Its lines with their line breaks.
        required: Columns that the header must have.
        quote: A column that may hold commas, for the hint on a row of too many columns.

    Raises:
        ValueError: A row is malformed, the header lacks a column or has it twice, or there is no row; with the line.
    """
    header, separator = _header(lines)
    if not any(line.strip() for line in lines):
        raise ValueError(f"{path} is empty; expected a header with {' and '.join(required)}, and rows")
    lacking = [name for name in required if name not in header]
    if lacking:
        raise ValueError(f"{path}, line 1: no column {lacking[0]!r} in the header ({cut(','.join(header))})")
    repeated = next((name for name in required if header.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"{path}, line 1: the header has {quoted(repeated)} more than once; keep one of the columns")
    rows = []
    reader = csv.reader(lines, strict=True, skipinitialspace=True, delimiter=separator)
    try:
        next(reader)
        end = reader.line_num
        for cells in reader:
            start, end = end + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise ValueError(
                    f"{path}, line {end}: {len(cells)} columns, but the header has {len(header)} "
                    f"({cut(','.join(header))}); quote a {quote} that holds a comma"
                )
            named = dict(zip(header, (cell.strip() for cell in cells), strict=True))
            rows.append(CsvRow(range(start, end + 1), named))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not csv: {error}") from error
    if not rows:
        raise ValueError(f"{path}: no rows after the header; expected `{','.join(required)}` lines")
    return rows


def filled_lines(path: Path, lines: Sequence[str], expected: str) -> Iterator[tuple[int, str]]:
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
        raise ValueError(f"{path}: no rows; expected one `{expected}` a line")


def check_cell(path: Path, line: int, name: str, cell: str) -> str:
    """The cell, unless it is empty or holds a NUL character (no file name can)."""
    if not cell or "\0" in cell:
        raise ValueError(f"{path}, line {line}: the {name} is empty or holds a NUL character")
    return cell


def is_integer(text: str) -> bool:
    """Whether the text is an integer from 0, in plain digits and not absurdly long."""
    # Not int(): it takes "1_0" and digits of other scripts, and very long ones raise another error.
    return re.fullmatch(r"[0-9]{1,9}", text) is not None


def class_index(path: Path, line: int, text: str) -> int:
    """The class index that a cell holds.

    Raises:
        ValueError: It is not an integer from 0.
    """
    if not is_integer(text):
        raise ValueError(
            f"{path}, line {line}: label {quoted(text)} is not a class index (an integer from 0); "
            "class names need a csv with a header, and no numbers among them"
        )
    return int(text)


def unquoted(text: str) -> str:
    """A cell without the quotes around it, as csv writes them."""
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1].replace('""', '"') if quoted else text


def integers_in(text: str) -> list[str]:
    """The integers in the `numbers` of `LAST_INTEGERS`, as they are written."""
    return re.findall(r"-?\d+", text, re.ASCII)
