"""mmcv's `NonLocal1d/2d/3d`: it pools after phi and g; `use_scale` leaves no trace in the names."""

from __future__ import annotations

from nonlocalnet.formats.blocks.source import BlockSource, has, is_prefixed
from nonlocalnet.formats.names import Row


def _names(subsampled: bool, with_norm: bool) -> tuple[Row, ...]:  # noqa: ARG001  the norm has its own names
    inner = ".0" if subsampled else ""
    return (
        ("theta.conv.{tensor}", "theta.{tensor}"),
        (f"phi{inner}.conv.{{tensor}}", "phi.{tensor}"),
        (f"g{inner}.conv.{{tensor}}", "g.{tensor}"),
        ("conv_out.conv.{tensor}", "out.{tensor}"),
        ("conv_out.bn.{tensor}", "norm.{tensor}"),
        ("concat_project.conv.weight", "w_f"),
    )


SOURCE = BlockSource(
    name="mmcv",
    library="mmcv, mmcv/cnn/bricks/non_local.py",
    names=_names,
    recognises=lambda names: has(names, "conv_out.") and not is_prefixed(names),
    norm_prefix="conv_out.bn.",
    pooled_names=True,
    subsample_first=False,
    scale=None,  # use_scale, by default True, is the embedded Gaussian's only
    out_bias_with_norm=False,
)
