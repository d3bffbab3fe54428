"""Memory counted on the meta device is what autograd really holds."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from nonlocalnet.engine.config import OptimConfig
from nonlocalnet.engine.estimate import estimate_cpu_seconds, estimate_memory
from nonlocalnet.engine.optim import freeze
from nonlocalnet.engine.recompute import recompute_blocks
from nonlocalnet.models import VideoResNet, i3d_resnet50, summarise
from nonlocalnet.runs.video.network import parts_of

SHAPE = (2, 3, 8, 64, 64)


def make(pairwise: Any = "embedded_gaussian") -> VideoResNet:
    return i3d_resnet50(num_classes=3, width=8, clip="8x8", crop=64, nonlocal_blocks=5, pairwise=pairwise)


def held_bytes(model: nn.Module, *, blocks: list[nn.Module]) -> int:
    """What autograd holds after a real forward pass; the inputs of checkpointed blocks are held by them."""
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    held: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    for block in blocks:
        block.register_forward_pre_hook(lambda _, args: (keep(args[0]),))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(torch.randn(SHAPE)).sum()
    return sum(storage.nbytes() for address, storage in held.items() if address not in own)


@pytest.mark.parametrize("pairwise", ["embedded_gaussian", "dot_product", "concatenation"])
def test_features_are_counted_to_the_byte(pairwise: str) -> None:
    model = make(pairwise)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    memory = estimate_memory(model, SHAPE)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert memory.features == held_bytes(model, blocks=[])
    assert memory.weights == sum(t.nbytes for t in before.values())
    assert memory.gradients == memory.momentum == sum(4 * p.numel() for p in model.parameters())
    assert memory.total == memory.weights + 2 * memory.gradients + memory.features


def test_with_recomputation_the_inputs_of_blocks_and_one_block_are_counted() -> None:
    model = make()
    plain, recomputed = estimate_memory(model, SHAPE), estimate_memory(model, SHAPE, recompute=True)
    recompute_blocks(model)
    blocks = [block for child in model.children() if isinstance(child, nn.Sequential) for block in child]
    between = held_bytes(model, blocks=blocks)
    # Between the passes only the inputs are held; the largest block comes on top while it is computed again.
    assert between < recomputed.features < 0.7 * plain.features
    assert recomputed.features - between < 0.2 * plain.features


def test_half_precision_and_frozen_parts_need_less() -> None:
    model = make()
    full = estimate_memory(model, SHAPE)
    half = estimate_memory(model, SHAPE, dtype=torch.bfloat16)
    assert 0.4 < half.features / full.features < 0.7
    freeze(model, OptimConfig(trainable="head"), parts_of(model))
    head = estimate_memory(model, SHAPE)
    assert head.gradients == 4 * sum(p.numel() for p in model.head.parameters())
    assert head.features < full.features / 10


def test_time_on_a_cpu_is_scaled_by_multiply_adds() -> None:
    model = make()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    shape = (1, 3, 8, 64, 64)
    flops = summarise(model, shape).flops
    seconds = estimate_cpu_seconds(model, shape, flops=flops)
    assert 0 < seconds < 60
    # A thousand times the multiply-adds: a clip as small or smaller is tried, and the estimate grows with them.
    assert estimate_cpu_seconds(model, shape, flops=1000 * flops) > 20 * seconds
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
