"""A copy on the meta device has the network's shapes and what is trained, and leaves the network alone."""

from __future__ import annotations

import torch
from torch import nn

from nonlocalnet.system.meta import meta_copy


def test_a_meta_copy() -> None:
    network = nn.Sequential(nn.Conv1d(3, 4, 2), nn.BatchNorm1d(4))
    network[0].weight.requires_grad_(False)
    copied = meta_copy(network)
    for name, tensor in network.state_dict(keep_vars=True).items():
        other = copied.state_dict(keep_vars=True)[name]
        assert (other.shape, other.dtype, other.requires_grad) == (tensor.shape, tensor.dtype, tensor.requires_grad)
        assert (other.device.type, tensor.device.type) == ("meta", "cpu")
    assert copied(torch.empty(2, 3, 8, device="meta")).shape == (2, 4, 7)
