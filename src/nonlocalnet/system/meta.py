"""A network's shapes without its values."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

_Network = TypeVar("_Network", bound=nn.Module)


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
