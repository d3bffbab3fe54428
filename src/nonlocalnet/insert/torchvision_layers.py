"""What is known of torchvision's own layers, without importing it: whoever holds one of them has imported it."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, NamedTuple, TypeGuard

from torch import nn


class _Kinds(NamedTuple):
    frozen_norm: Any
    permute: Any
    carried_by: tuple[tuple[type[nn.Module], str, str], ...]


def is_frozen_norm(module: nn.Module) -> TypeGuard[Any]:
    """Whether it is a BatchNorm with buffers alone."""
    kinds = _kinds_imported()
    return kinds is not None and isinstance(module, kinds.frozen_norm)


def is_permute(module: nn.Module) -> TypeGuard[Any]:
    """Whether it changes the order of the axes."""
    kinds = _kinds_imported()
    return kinds is not None and isinstance(module, kinds.permute)


def carriers(module: nn.Module) -> tuple[str, str] | None:
    """The children whose features are a block's: on its input's side and on its output's; None for other modules."""
    kinds = _kinds_imported()
    rows = () if kinds is None else kinds.carried_by
    return next(((first, last) for kind, first, last in rows if isinstance(module, kind)), None)


def _kinds_imported() -> _Kinds | None:
    return _kinds() if "torchvision" in sys.modules else None


@cache
def _kinds() -> _Kinds:
    from torchvision.models import convnext, efficientnet, inception, mobilenetv2, mobilenetv3, regnet
    from torchvision.models.googlenet import BasicConv2d
    from torchvision.ops import FrozenBatchNorm2d, Permute

    carried_by = (
        (convnext.CNBlock, "block.0", "block.0"),
        (efficientnet.FusedMBConv, "block", "block"),
        (efficientnet.MBConv, "block", "block"),
        (BasicConv2d, "conv", "bn"),
        (inception.BasicConv2d, "conv", "bn"),
        (mobilenetv2.InvertedResidual, "conv", "conv"),
        (mobilenetv3.InvertedResidual, "block", "block"),
        (regnet.ResBottleneckBlock, "f", "f"),
    )
    return _Kinds(FrozenBatchNorm2d, Permute, carried_by)
