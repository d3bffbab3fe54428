"""GluonCV's block (torch), which stores W and bn a second time. Only its embedded Gaussian computes."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from nonlocalnet.formats.blocks import alexhex7
from nonlocalnet.formats.blocks.source import BlockSource, has, is_prefixed

_COPY = "W_bn."
_NAMES = (
    ("theta.{tensor}", "theta.{tensor}"),
    ("phi.{tensor}", "phi.{tensor}"),
    ("g.{tensor}", "g.{tensor}"),
    ("W.{tensor}", "out.{tensor}"),
    ("bn.{tensor}", "norm.{tensor}"),
)


def _recognises(names: Collection[str]) -> bool:
    if is_prefixed(names) or has(names, "conv_out."):
        return False
    return has(names, _COPY, "bn.") or (has(names, "W.") and not alexhex7.is_surely(names))


def _without_copies(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without `W_bn.0.*` and `W_bn.1.*`, after holding them against `W.*` and `bn.*`."""
    for name, tensor in tensors.items():
        if name.startswith(_COPY):
            first = name.replace("W_bn.0.", "W.").replace("W_bn.1.", "bn.")
            if first in tensors and not torch.equal(tensors[first], tensor):
                raise ValueError(f"{name} and {first} are one tensor in GluonCV, and differ in this state dict")
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(_COPY)}


SOURCE = BlockSource(
    name="gluoncv",
    library="GluonCV, gluoncv/torch/model_zoo/action_recognition/non_local.py",
    names=lambda _subsampled, _with_norm: _NAMES,
    recognises=_recognises,
    norm_prefix="bn.",
    can_pool=False,  # its other forms and its pooling raise
    subsample_first=True,
    scale="rsqrt",
    dot_product=False,
    norm_momentum=0.9,
    without_copies=_without_copies,
)
