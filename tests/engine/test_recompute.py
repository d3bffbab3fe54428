"""Activation checkpointing: less memory, the same numbers."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from nonlocalnet.engine.config import ScheduleConfig
from nonlocalnet.engine.recompute import recompute_blocks
from nonlocalnet.models import VideoResNet, i3d_resnet50
from nonlocalnet.runs.video.results.counts import read_metrics
from nonlocalnet.runs.video.train import train_recipe
from runs.video.tiny import tiny_recipe, tiny_videos


@pytest.fixture(params=[False, True], ids=["trained norms", "frozen norms"])
def model(request: pytest.FixtureRequest) -> VideoResNet:
    torch.manual_seed(0)
    network = i3d_resnet50(num_classes=3, width=4, clip="8x8", crop=32, nonlocal_blocks=5, zero_init=False, dropout=0.0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            module.train(not request.param)
    return network


def step(model: VideoResNet, x: torch.Tensor) -> dict[str, torch.Tensor]:
    x = x.clone().requires_grad_()
    loss = nn.functional.cross_entropy(model(x), torch.tensor([0, 2]))
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert x.grad is not None
    return {"loss": loss.detach(), "x": x.grad, **gradients, **dict(model.state_dict())}


def test_loss_gradients_and_statistics_are_the_same_bit_for_bit(model: VideoResNet) -> None:
    twin = copy.deepcopy(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert recompute_blocks(twin) == 3 + 4 + 6 + 3 + 5
    assert twin.state_dict().keys() == before.keys()
    for _ in range(2):
        x = torch.randn(2, 3, 8, 32, 32)
        plain, recomputed = step(model, x), step(twin, x)
        assert plain.keys() == recomputed.keys()
        for name, tensor in plain.items():
            assert torch.equal(tensor, recomputed[name]), name
    # The comparison sees the statistics: they moved where they are trained, once a step.
    counts = {name: tensor for name, tensor in twin.state_dict().items() if name.endswith("num_batches_tracked")}
    trained = model.stem.norm.training
    assert {int(tensor) for tensor in counts.values()} == {2 if trained else 0}


def test_evaluation_is_untouched(model: VideoResNet) -> None:
    twin = copy.deepcopy(model)
    recompute_blocks(twin)
    x = torch.randn(1, 3, 8, 40, 40)
    with torch.inference_mode():
        assert torch.equal(model.eval().scores(x), twin.eval().scores(x))


def test_a_run_is_the_same_with_it_and_nearly_so_in_another_memory_order(tmp_path: Path) -> None:
    base = tiny_recipe(tiny_videos(tmp_path / "videos"))
    schedule = ScheduleConfig(steps=3, milestones=())
    runs = []
    for options in ({}, {"recompute": True}, {"channels_last": True}):
        trainer = replace(base.trainer, val_every=0, **options)
        out = tmp_path / str(len(runs))
        train_recipe(replace(base, schedule=schedule, trainer=trainer), out=out, progress=False)
        runs.append((read_metrics(out / "metrics.csv"), torch.load(out / "last.ckpt", weights_only=True)["state_dict"]))
    (rows, weights), (same_rows, same_weights), (near_rows, near_weights) = runs
    assert [row.loss for row in rows] == [row.loss for row in same_rows]
    assert [row.loss for row in rows] == pytest.approx([row.loss for row in near_rows], rel=1e-3)
    for name, tensor in weights.items():
        assert torch.equal(tensor, same_weights[name]), name
        torch.testing.assert_close(tensor, near_weights[name], rtol=1e-2, atol=1e-3)


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"trainer\.recompute needs a network of blocks, and Linear has no Sequential"):
        recompute_blocks(nn.Linear(2, 2))
