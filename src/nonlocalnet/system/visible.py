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


_LONGEST_VALUE = 200  # characters


def cut(text: object, at_most: int = _LONGEST_VALUE) -> str:
    """A value for an error: of one that is too long its beginning and its end, which names a file.

    >>> cut("/videos/" + "a" * 900 + "/b.mp4", at_most=20)
    '/videos/aa... (894 characters more) ...aaaa/b.mp4'
    """
    text = str(text)
    if len(text) <= at_most:
        return text
    half = at_most // 2
    return f"{text[:half]}... ({len(text) - 2 * half:,} characters more) ...{text[-half:]}"


def quoted(text: object) -> str:
    r"""`cut` in quotes, as Python writes it.

    >>> quoted("a\n")
    "'a\\n'"
    """
    return repr(cut(text))


class LogFormatter(logging.Formatter):
    """A record's message alone."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return visible(super().format(record))
