"""Tensors under another program's names put into a module, and what does not fit reported by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nonlocalnet.formats.names import NameTable
from nonlocalnet.system.tensor_file import type_flaw

# A counter that BatchNorm keeps and that other programs or older versions do not.
OPTIONAL_SUFFIX = ".num_batches_tracked"


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors. Names are the file's where it has one.

    Attributes:
        loaded: (name in the file, our name) of every tensor that was put in.
        missing: Tensors that the module needs and the file does not hold, with the shape.
        unused: Tensors of the file that have no place in the module, with the shape.
        mismatched: Tensors whose shape is not the one the module needs, with both.
        not_finite: Tensors that hold NaN or infinity; they are loaded.
    """

    loaded: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    mismatched: tuple[str, ...]
    not_finite: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What a strict load refuses, one phrase each."""
        return (*self.missing, *self.mismatched, *self.unused)

    def shown_problems(self, at_most: int = 10) -> str:
        """The problems in one line."""
        more = f"; and {len(self.problems) - at_most} more" if len(self.problems) > at_most else ""
        return "; ".join(self.problems[:at_most]) + more


def fill(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    table: NameTable,
    *,
    zero: Collection[str] = (),
    fresh: Collection[str] = (),
) -> LoadReport:
    """Copy into a module whatever fits, in place.

    Args:
        module: Whose state dict has our names; on the meta device nothing is copied, and it is only told what fits.
        tensors: By their names.
        table: Their names beside ours.
        zero: Our names of tensors that are zero where the file does not hold them.
        fresh: Our names of tensors that may keep their values.

    Returns:
        What was put in and what was not.
    """
    own = module.state_dict(keep_vars=True)
    loaded, unused, mismatched, not_finite = [], [], [], []
    known = set()
    with torch.no_grad():
        for ours in set(zero) & own.keys():
            own[ours].zero_()
        for name, tensor in tensors.items():
            ours = table.to_ours(name)
            if ours is None or ours not in own:
                unused.append(f"{name} {tuple(tensor.shape)} has no place in the network")
                continue
            known.add(ours)
            fitted = _without_ones(tensor, ours)
            if fitted.shape != own[ours].shape:
                expected = tuple(own[ours].shape)
                mismatched.append(f"{name} has the shape {tuple(tensor.shape)}, {ours} needs {expected}")
                continue
            if (flaw := type_flaw(fitted, own[ours])) is not None:
                mismatched.append(f"{name} {flaw}")
                continue
            own[ours].copy_(fitted)
            loaded.append((name, ours))
            if not own[ours].is_meta and fitted.is_floating_point() and not torch.isfinite(fitted).all():
                not_finite.append(name)
    expected = known.union(zero, fresh)
    missing = [
        f"{table.to_theirs(ours) or ours} is missing (for {ours}, {tuple(tensor.shape)})"
        for ours, tensor in own.items()
        if ours not in expected and not ours.endswith(OPTIONAL_SUFFIX)
    ]
    return LoadReport(tuple(loaded), tuple(missing), tuple(unused), tuple(mismatched), tuple(not_finite))


def _without_ones(tensor: Tensor, ours: str) -> Tensor:
    """A matrix or vector that was written as a kernel: (400, 2048, 1, 1, 1), or (1, 256, 1, 1) for w_f."""
    if ours == "head.projection.weight" and tensor.ndim > 2 and all(size == 1 for size in tensor.shape[2:]):
        return tensor.flatten(1)
    if ours.rpartition(".")[2] == "w_f" and tensor.numel() == max(tensor.shape, default=1):
        return tensor.flatten()
    return tensor
