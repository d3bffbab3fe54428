"""Tensor names of other projects beside ours: tables of templates, one per source, read in both directions.

A template's fields match as follows: {block} the number of a residual block in its stage, {conv} one of a block's three
convolutions, {tensor} the last part of the name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FIELDS = {
    "block": r"(?P<block>0|[1-9][0-9]*)",
    "conv": r"(?P<conv>[123])",
    "tensor": r"(?P<tensor>weight|bias|running_mean|running_var|num_batches_tracked)",
}


@dataclass(frozen=True)
class NameTable:
    """Pairs of templates (theirs, ours); each side determines the other.

    Attributes:
        source: Whose names these are.
        rows: The pairs. Both templates of a pair have the same fields, and no name fits two rows.
    """

    source: str
    rows: tuple[tuple[str, str], ...]

    def to_ours(self, name: str) -> str | None:
        """Return our name for theirs, or None if the table does not have it."""
        return _translate(name, self.rows)

    def to_theirs(self, name: str) -> str | None:
        """Return their name for ours, or None if the table does not have it."""
        return _translate(name, tuple((ours, theirs) for theirs, ours in self.rows))


def _translate(name: str, rows: tuple[tuple[str, str], ...]) -> str | None:
    for template, other in rows:
        match = re.fullmatch(_pattern(template), name)
        if match:
            return other.format(**match.groupdict())
    return None


def _pattern(template: str) -> str:
    return re.escape(template).replace(r"\{", "{").replace(r"\}", "}").format(**_FIELDS)


# torchvision's `resnet50`/`resnet101`, and timm's of the same names. The classifier (fc) has no counterpart: its
# classes are others.
IMAGE_RESNET = NameTable(
    source="torchvision and timm ResNet",
    rows=(
        ("conv1.{tensor}", "stem.conv.{tensor}"),
        ("bn1.{tensor}", "stem.norm.{tensor}"),
        ("layer1.{block}.conv{conv}.{tensor}", "res2.{block}.conv{conv}.{tensor}"),
        ("layer1.{block}.bn{conv}.{tensor}", "res2.{block}.norm{conv}.{tensor}"),
        ("layer1.{block}.downsample.0.{tensor}", "res2.{block}.downsample.conv.{tensor}"),
        ("layer1.{block}.downsample.1.{tensor}", "res2.{block}.downsample.norm.{tensor}"),
        ("layer2.{block}.conv{conv}.{tensor}", "res3.{block}.conv{conv}.{tensor}"),
        ("layer2.{block}.bn{conv}.{tensor}", "res3.{block}.norm{conv}.{tensor}"),
        ("layer2.{block}.downsample.0.{tensor}", "res3.{block}.downsample.conv.{tensor}"),
        ("layer2.{block}.downsample.1.{tensor}", "res3.{block}.downsample.norm.{tensor}"),
        ("layer3.{block}.conv{conv}.{tensor}", "res4.{block}.conv{conv}.{tensor}"),
        ("layer3.{block}.bn{conv}.{tensor}", "res4.{block}.norm{conv}.{tensor}"),
        ("layer3.{block}.downsample.0.{tensor}", "res4.{block}.downsample.conv.{tensor}"),
        ("layer3.{block}.downsample.1.{tensor}", "res4.{block}.downsample.norm.{tensor}"),
        ("layer4.{block}.conv{conv}.{tensor}", "res5.{block}.conv{conv}.{tensor}"),
        ("layer4.{block}.bn{conv}.{tensor}", "res5.{block}.norm{conv}.{tensor}"),
        ("layer4.{block}.downsample.0.{tensor}", "res5.{block}.downsample.conv.{tensor}"),
        ("layer4.{block}.downsample.1.{tensor}", "res5.{block}.downsample.norm.{tensor}"),
    ),
)
