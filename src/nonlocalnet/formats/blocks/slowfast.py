"""PySlowFast's block."""

from __future__ import annotations

from nonlocalnet.formats.blocks.source import BlockSource, has, is_prefixed, prefixed_rows

SOURCE = BlockSource(
    name="slowfast",
    library="PySlowFast, slowfast/models/nonlocal_helper.py",
    names=lambda _subsampled, _with_norm: prefixed_rows(norm="bn"),
    recognises=lambda names: is_prefixed(names) and (has(names, "bn.") or not has(names, "norm.")),
    norm_prefix="bn.",
    subsample_first=True,
    subsample=(1, 2, 2),  # in every configuration of the program
    scale="rsqrt",
)
