"""What is known of another library's block: one row each, in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from nonlocalnet.formats.names import PROJECTIONS, Row


@dataclass(frozen=True, kw_only=True)
class BlockSource:
    """One library's block. Our names: {theta,phi,g,out}.{weight,bias}, norm.*, w_f.

    Attributes:
        name: As `source=` takes it.
        library: Its name, and the file that holds the block.
        names: The library's names beside ours, given whether the block pools and whether it has a norm.
        recognises: Whether a block with these names may be the library's.
        norm_prefix: What the names of its norm begin with.
        pooled_names: Whether pooling shows in the names ("g.0.*" for "g.*").
        can_pool: Whether the library's pooling works at all.
        subsample_first: Whether it pools x before phi and g.
        subsample: What it pools where names do not show it.
        scale: Factor on the logits of the embedded Gaussian; None where an option of the block decides;
            "rsqrt of the input" is by the block's channels, not by those inside.
        dot_product: Whether it has the dot product, whose names are the embedded Gaussian's.
        out_bias_with_norm: Whether its output convolution has a bias where a norm follows.
        norm_momentum: BatchNorm's, in PyTorch's sense.
        without_copies: The tensors without those that it stores twice; None where it stores each once.
    """

    name: str
    library: str
    names: Callable[[bool, bool], tuple[Row, ...]]
    recognises: Callable[[Collection[str]], bool]
    norm_prefix: str
    pooled_names: bool = False
    can_pool: bool = True
    subsample_first: bool
    subsample: tuple[int, int, int] | None = None
    scale: float | Literal["rsqrt", "rsqrt of the input"] | None
    dot_product: bool = True
    out_bias_with_norm: bool = True
    norm_momentum: float = 0.1
    without_copies: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None


def has(names: Collection[str], *prefixes: str) -> bool:
    """Whether a name begins with one of these."""
    return any(name.startswith(prefixes) for name in names)


def prefixed_rows(*, norm: str) -> tuple[Row, ...]:
    """The names that PySlowFast began and PyTorchVideo took over, but for the norm's."""
    return (
        *((f"conv_{name}.{{tensor}}", f"{name}.{{tensor}}") for name in PROJECTIONS),
        (f"{norm}.{{tensor}}", "norm.{tensor}"),
    )


def is_prefixed(names: Collection[str]) -> bool:
    """Whether they are such names."""
    return has(names, "conv_theta.", "conv_phi.", "conv_g.")
