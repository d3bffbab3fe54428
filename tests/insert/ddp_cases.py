"""What two processes run in `test_copies.py`: DDP's gradients of a half each against one process's."""

from __future__ import annotations

import copy

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from insert.nets import clip, small_net


def gradients(model: nn.Module, network: nn.Module, data: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of `network`, which runs `model`: of the mean over `data`."""
    network(data).square().mean().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def main() -> None:
    whole, data, rank = small_net(norm=None), clip(batch=4), dist.get_rank()
    half = copy.deepcopy(whole)
    expected = gradients(whole, whole, data)
    got = gradients(half, DistributedDataParallel(half), data[2 * rank : 2 * rank + 2])
    assert expected.keys() == got.keys()
    assert any("nonlocal" in name for name in got)
    for name in got:
        torch.testing.assert_close(got[name], expected[name], rtol=1e-4, atol=1e-6, msg=name)
