"""What others wrote is data on its way to a terminal: an escape code in it moves no cursor, it is seen."""

from __future__ import annotations

import logging
import unicodedata

from typing_extensions import override

# Control codes, invisible marks that reorder a line, halves of characters (file names that are no UTF-8), line ends.
_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_KEPT = {"\n", "\t"}


def visible(text: object) -> str:
    r"""A text of others for a terminal: what would not be seen there is written as Python escapes it.

    >>> visible("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _INVISIBLE and character not in _KEPT
        else character
        for character in text
    )


class LogFormatter(logging.Formatter):
    """A record's message alone."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return visible(super().format(record))
