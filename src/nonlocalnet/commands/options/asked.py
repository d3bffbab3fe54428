"""Arguments of the commands that open weights: what some files leave open."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from nonlocalnet.formats import Asked
from nonlocalnet.functional import PAIRWISE


def add_asked(parser: ArgumentParser) -> None:
    """Add `--clip`, `--pairwise` and `--scale`."""
    parser.add_argument("--clip", help="frames x stride such as 32x2; a Caffe2 file without it in its name needs it")
    parser.add_argument("--pairwise", choices=PAIRWISE, help="of the blocks, where the file leaves it open")
    parser.add_argument("--scale", help="factor on the blocks' logits, a number or rsqrt; default: what the file says")


def asked_of(parsed: Namespace) -> Asked:
    """What the three options say.

    Raises:
        ValueError: If --scale is neither a number above 0 nor "rsqrt".
    """
    if parsed.scale in (None, "rsqrt"):
        return Asked(clip=parsed.clip, pairwise=parsed.pairwise, scale=parsed.scale)
    try:
        scale = float(parsed.scale)
    except ValueError:
        scale = 0.0
    if not 0 < scale < float("inf"):
        raise ValueError(f"--scale must be a number above 0 or rsqrt, got {parsed.scale!r}")
    return Asked(clip=parsed.clip, pairwise=parsed.pairwise, scale=scale)
