"""Tensor names of other projects beside ours: templates that are read in both directions.

Ours, for a video network:

    stem.{conv,norm}.*                                        conv1 and its norm
    res{2..5}.{block}.{conv1,norm1,conv2,norm2,conv3,norm3}.* the three convolutions of a residual block
    res{2..5}.{block}.downsample.{conv,norm}.*                its shortcut, where it has one
    res{2..5}.{block}_nonlocal.{theta,phi,g,out,norm}.*       the non-local block that follows it; w_f for concatenation
    head.projection.{weight,bias}                             the classifier

A template's fields match as follows: {stage} the number of a stage, {block} that of a residual block in its stage,
{conv} one of a block's three convolutions, {tensor} the last part of the name, {name} anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from torch import Tensor

_FIELDS = {
    "stage": r"(?P<stage>[2345])",
    "block": r"(?P<block>0|[1-9][0-9]*)",
    "conv": r"(?P<conv>[123])",
    "tensor": r"(?P<tensor>weight|bias|running_mean|running_var|num_batches_tracked)",
    "name": r"(?P<name>.+)",
}

Row = tuple[str, str]

# Ours, as names of the convolutions of a non-local block.
PROJECTIONS = ("theta", "phi", "g", "out")


@dataclass(frozen=True)
class NameTable:
    """Pairs of templates (theirs, ours); each side determines the other.

    Attributes:
        source: Whose names these are.
        rows: The pairs. Both templates of a pair have the same fields, and no name fits two rows.
    """

    source: str
    rows: tuple[Row, ...]

    def to_ours(self, name: str) -> str | None:
        """Return our name for theirs, or None if the table does not have it."""
        return _translate(name, self.rows)

    def to_theirs(self, name: str) -> str | None:
        """Return their name for ours, or None if the table does not have it."""
        return _translate(name, tuple((ours, theirs) for theirs, ours in self.rows))

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors by our names where the table has them, else by their own."""
        return {self.to_ours(name) or name: tensor for name, tensor in tensors.items()}


def _translate(name: str, rows: tuple[Row, ...]) -> str | None:
    for template, other in rows:
        match = _pattern(template).fullmatch(name)
        if match:
            return other.format(**match.groupdict())
    return None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.escape(template).replace(r"\{", "{").replace(r"\}", "}").format(**_FIELDS))
