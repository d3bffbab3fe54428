"""AlexHex7/Non-local_pytorch, the most copied block: it pools after phi and g, and scales nothing."""

from __future__ import annotations

from collections.abc import Collection

from nonlocalnet.formats.blocks.source import BlockSource, has, is_prefixed
from nonlocalnet.formats.names import Row


def _names(subsampled: bool, with_norm: bool) -> tuple[Row, ...]:
    """A pooled g is a Sequential of the convolution and the pooling; W one of the convolution and the norm."""
    inner = ".0" if subsampled else ""
    out = (("W.0.{tensor}", "out.{tensor}"), ("W.1.{tensor}", "norm.{tensor}"))
    return (
        ("theta.{tensor}", "theta.{tensor}"),
        (f"phi{inner}.{{tensor}}", "phi.{tensor}"),
        (f"g{inner}.{{tensor}}", "g.{tensor}"),
        *(out if with_norm else (("W.{tensor}", "out.{tensor}"),)),
        ("concat_project.0.weight", "w_f"),
    )


def is_surely(names: Collection[str]) -> bool:
    """Whether they are no other library's: without these marks GluonCV's block has the same names."""
    return has(names, "W.0.", "W.1.", "g.0.", "concat_project.") or (has(names, "W.") and not has(names, "theta."))


def _recognises(names: Collection[str]) -> bool:
    others = is_prefixed(names) or has(names, "conv_out.", "W_bn.", "bn.")
    return not others and (is_surely(names) or has(names, "W."))


SOURCE = BlockSource(
    name="alexhex7",
    library="AlexHex7/Non-local_pytorch, lib/non_local_*.py",
    names=_names,
    recognises=_recognises,
    norm_prefix="W.1.",
    pooled_names=True,
    subsample_first=False,
    scale=1.0,
)
