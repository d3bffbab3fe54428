"""A network's shapes without its values."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from typing_extensions import override

_Network = TypeVar("_Network", bound=nn.Module)


_DRAWS = {"normal_", "uniform_", "trunc_normal_", "kaiming_normal_", "kaiming_uniform_"}
# Numbers of a network that may be far larger than its file: 400 MB, room for a ResNet-101 of which a part is given.
_ALWAYS_HELD = 100_000_000


def meta_network(
    build: Callable[[], _Network], tensors: Mapping[str, torch.Tensor], *, path: str | os.PathLike[str]
) -> _Network:
    """The network that a file describes, without its values, after its size is held against the file's tensors.

    Raises:
        ValueError: If it has far more numbers than they: to build it would allocate what a few bytes ask for.
    """
    with torch.device("meta"), _WithoutDrawing():
        network = build()
    needed = sum(tensor.numel() for tensor in network.state_dict(keep_vars=True).values())
    held = sum(tensor.numel() for tensor in tensors.values())
    if needed > max(_ALWAYS_HELD, 2 * held):
        raise ValueError(f"{path} describes a network of {needed:,} numbers and holds {held:,}")
    return network


class _WithoutDrawing(TorchFunctionMode):
    """Draws no initial values: on the meta device that does nothing but import PyTorch's compiler, for seconds."""

    @override
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def meta_copy(network: _Network) -> _Network:
    """A copy whose tensors have shapes but no values, on the meta device; what is trained stays so.

    No weight is copied: `deepcopy` finds the tensors already copied in its memo.
    """
    memo: dict[int, object] = {}
    for parameter in network.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), parameter.requires_grad)
    for buffer in network.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(network, memo)
