"""Single non-local blocks of other libraries: their names beside ours, and what each library computes.

Ours: {theta,phi,g,out}.{weight,bias}, norm.*, w_f.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nonlocalnet.formats.names import NameTable, Row

Source = Literal["alexhex7", "mmcv", "slowfast", "pytorchvideo", "gluoncv"]


@dataclass(frozen=True)
class BlockSource:
    """One library's block.

    Attributes:
        library: Its name, and the file that holds the block.
        pooled_names: Whether pooling shows in the names ("g.0.*" for "g.*").
        subsample_first: Whether it pools x before phi and g.
        subsample: What it pools where names do not show it.
        scale: Factor on the logits of the embedded Gaussian; None where an option of the block decides.
        dot_product: Whether it has the dot product, whose names are the embedded Gaussian's.
        norm_momentum: BatchNorm's, in PyTorch's sense.
    """

    library: str
    pooled_names: bool
    subsample_first: bool
    subsample: tuple[int, int, int] | None
    scale: float | Literal["rsqrt"] | None
    dot_product: bool = True
    norm_momentum: float = 0.1


SOURCES: dict[Source, BlockSource] = {
    "alexhex7": BlockSource("AlexHex7/Non-local_pytorch, lib/non_local_*.py", True, False, None, 1.0),
    # use_scale, by default True, is the embedded Gaussian's only.
    "mmcv": BlockSource("mmcv, mmcv/cnn/bricks/non_local.py", True, False, None, None),
    # Every configuration of the program pools (1, 2, 2).
    "slowfast": BlockSource("PySlowFast, slowfast/models/nonlocal_helper.py", False, True, (1, 2, 2), "rsqrt"),
    # create_nonlocal pools nothing unless it is told to.
    "pytorchvideo": BlockSource("PyTorchVideo, pytorchvideo/layers/nonlocal_net.py", False, True, None, "rsqrt"),
    # Only its embedded Gaussian computes; its other forms and its pooling raise.
    "gluoncv": BlockSource(
        "GluonCV, gluoncv/torch/model_zoo/action_recognition/non_local.py",
        False,
        True,
        None,
        "rsqrt",
        dot_product=False,
        norm_momentum=0.9,
    ),
}


def block_table(source: Source, *, subsampled: bool, with_norm: bool) -> NameTable:
    """The names of a source's block, which depend on whether it pools and whether it has a norm."""
    inner = ".0" if subsampled else ""
    rows: dict[Source, tuple[Row, ...]] = {
        "alexhex7": (
            ("theta.{tensor}", "theta.{tensor}"),
            (f"phi{inner}.{{tensor}}", "phi.{tensor}"),
            (f"g{inner}.{{tensor}}", "g.{tensor}"),
            *(
                (("W.0.{tensor}", "out.{tensor}"), ("W.1.{tensor}", "norm.{tensor}"))
                if with_norm
                else (("W.{tensor}", "out.{tensor}"),)
            ),
            ("concat_project.0.weight", "w_f"),
        ),
        "mmcv": (
            ("theta.conv.{tensor}", "theta.{tensor}"),
            (f"phi{inner}.conv.{{tensor}}", "phi.{tensor}"),
            (f"g{inner}.conv.{{tensor}}", "g.{tensor}"),
            ("conv_out.conv.{tensor}", "out.{tensor}"),
            ("conv_out.bn.{tensor}", "norm.{tensor}"),
            ("concat_project.conv.weight", "w_f"),
        ),
        "slowfast": _prefixed(norm="bn"),
        "pytorchvideo": _prefixed(norm="norm"),
        "gluoncv": (
            ("theta.{tensor}", "theta.{tensor}"),
            ("phi.{tensor}", "phi.{tensor}"),
            ("g.{tensor}", "g.{tensor}"),
            ("W.{tensor}", "out.{tensor}"),
            ("bn.{tensor}", "norm.{tensor}"),
        ),
    }
    return NameTable(source=SOURCES[source].library, rows=rows[source])


def _prefixed(*, norm: str) -> tuple[Row, ...]:
    return (
        *((f"conv_{name}.{{tensor}}", f"{name}.{{tensor}}") for name in ("theta", "phi", "g", "out")),
        (f"{norm}.{{tensor}}", "norm.{tensor}"),
    )
