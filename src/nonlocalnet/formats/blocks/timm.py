"""timm's `NonLocalAttn`: an embedded Gaussian without pooling, whose logits are scaled by the input's channels."""

from __future__ import annotations

from nonlocalnet.formats.blocks.source import BlockSource, has

_NAMES = (
    ("t.{tensor}", "theta.{tensor}"),
    ("p.{tensor}", "phi.{tensor}"),
    ("g.{tensor}", "g.{tensor}"),
    ("z.{tensor}", "out.{tensor}"),
    ("norm.{tensor}", "norm.{tensor}"),
)

SOURCE = BlockSource(
    name="timm",
    library="timm, timm/layers/non_local_attn.py",
    names=lambda _subsampled, _with_norm: _NAMES,
    recognises=lambda names: has(names, "z.") and has(names, "t.", "p."),
    norm_prefix="norm.",
    can_pool=False,
    subsample_first=False,
    scale="rsqrt of the input",  # use_scale, by default True
    dot_product=False,
)
