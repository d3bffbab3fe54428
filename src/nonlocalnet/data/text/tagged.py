r"""Sentences of `token TAG` lines, as taggers of names and parts of speech have them (CoNLL).

    -DOCSTART- -X- O O              left out, as in CoNLL-2003

    EU rejects                      columns are separated by tabs, or else by spaces; the first is the token and the
    ...                             last its tag, what stands between (CoNLL's other layers) is ignored

    Peter B-PER
    Blackburn I-PER                 a blank line ends a sentence

Where a line holds a tab, tabs separate, and a token may hold spaces. `#` begins a token like any other character.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from nonlocalnet.data.annotations import CLASS_NAMES_FILE
from nonlocalnet.data.annotations.class_names import class_names_of
from nonlocalnet.data.annotations.lines import read_lines
from nonlocalnet.system.odd_files import require_file
from nonlocalnet.system.visible import cut, quoted

_DOCUMENT_START = "-DOCSTART-"
# A first line of one of each is a header, which would be a token with a tag of its own.
_TOKEN_NAMES = {"token", "tokens", "word", "words", "form", "text"}
_TAG_NAMES = {"tag", "tags", "ner", "ner_tag", "pos", "label", "labels"}


class Sentence(NamedTuple):
    """Tokens with the index of the tag of each; as many of both, at least one."""

    tokens: tuple[str, ...]
    tags: tuple[int, ...]


class TaggedList(NamedTuple):
    """The sentences of one split.

    Attributes:
        sentences: At least one, in the file's order.
        tag_names: Name of each tag index.
        source: Where they came from, for messages.
    """

    sentences: tuple[Sentence, ...]
    tag_names: tuple[str, ...]
    source: str


def load_tagged(
    source: str | os.PathLike[str], *, tags: str | os.PathLike[str] | Sequence[str] | None = None
) -> TaggedList:
    """Read the sentences of one split.

    Args:
        source: The file.
        tags: The names of the tags by index, or a file of them; without, those of a `classes.txt` beside the file (one
            name a line), and where there is none the file's own, sorted. Give every split those of the training.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not UTF-8, begins with a header, a line has one column, a tag is not among the names (each
            with the line), or there is no sentence.
    """
    source = Path(source)
    require_file(source)
    beside = source.parent / CLASS_NAMES_FILE
    names = class_names_of(beside if tags is None and beside.is_file() else tags)
    sentences = list(_sentences(source, read_lines(source)))
    if not sentences:
        raise ValueError(f"{source}: no sentences; expected one `token TAG` a line and a blank line between sentences")
    if names is None:
        names = tuple(sorted({tag for sentence in sentences for _, _, tag in sentence}))
    index_of = {name: index for index, name in enumerate(names)}
    for line, _, tag in (row for sentence in sentences for row in sentence):
        if tag not in index_of:
            raise ValueError(
                f"{source}, line {line}: tag {quoted(tag)} is not among the {len(names)} tags ({cut(', '.join(names))})"
            )
    coded = (
        Sentence(tuple(token for _, token, _ in sentence), tuple(index_of[tag] for _, _, tag in sentence))
        for sentence in sentences
    )
    return TaggedList(tuple(coded), names, str(source))


def _sentences(source: Path, lines: Sequence[str]) -> Iterator[list[tuple[int, str, str]]]:
    """(line, token, tag) of every token, sentence after sentence."""
    rows: list[tuple[int, str, str]] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.split()[0] == _DOCUMENT_START:
            if rows:
                yield rows
            rows = []
            continue
        cells = [cell.strip() for cell in line.strip("\r\n").split("\t")] if "\t" in text else text.split()
        if len(cells) < 2 or not cells[0] or not cells[-1]:
            raise ValueError(f"{source}, line {number}: expected `token TAG`, got {quoted(text)}")
        if number == 1 and cells[0].lower() in _TOKEN_NAMES and cells[-1].lower() in _TAG_NAMES:
            raise ValueError(f"{source}, line 1: {quoted(text)} is a header, no token with its tag; delete the line")
        rows.append((number, cells[0], cells[-1]))
    if rows:
        yield rows
