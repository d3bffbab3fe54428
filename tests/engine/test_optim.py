from __future__ import annotations

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from engine.toy import Toy, toy_train
from nonlocalnet.block import NonLocalBlock
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig
from nonlocalnet.engine.optim import Parts, build_optimizer, freeze, learning_rate_factor, parameter_groups
from nonlocalnet.models import VideoResNet, c2d_resnet50
from nonlocalnet.runs.video.network import parts_of
from nonlocalnet.runs.video.results.counts import read_metrics
from nonlocalnet.runs.video.task import ClassifierTask


@pytest.fixture(scope="module")
def shared_model() -> VideoResNet:
    return c2d_resnet50(num_classes=3, width=4, nonlocal_blocks=1, clip="8x8")


@pytest.fixture
def model(shared_model: VideoResNet) -> VideoResNet:
    return shared_model.requires_grad_(requires_grad=True)


def test_groups_hold_every_parameter_once_with_its_rate_and_decay(model: VideoResNet) -> None:
    optim = OptimConfig(lr=0.1, weight_decay=0.01, bn_weight_decay=0.0, lr_factor_blocks=5, lr_factor_head=10)
    groups = parameter_groups(model, optim, parts_of(model))
    placed = {id(p): group for group in groups for p in group["params"]}
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    for path, parameter in model.named_parameters():
        group = placed[id(parameter)]
        factor = 5 if "_nonlocal." in path else 10 if path.startswith("head.") else 1
        is_norm = ".norm" in path or "downsample.norm" in path
        assert group["lr"] == pytest.approx(0.1 * factor), path
        assert group["weight_decay"] == (0.0 if is_norm else 0.01), path


def test_optimizer_is_sgd_with_nesterov_momentum(model: VideoResNet) -> None:
    optimizer = build_optimizer(model, OptimConfig(), parts_of(model))
    assert isinstance(optimizer, torch.optim.SGD)
    assert all(group["nesterov"] and group["momentum"] == 0.9 for group in optimizer.param_groups)


@pytest.mark.parametrize(("trainable", "parts"), [("head", {"head"}), ("blocks_and_head", {"head", "blocks"})])
def test_only_parts_are_trained(model: VideoResNet, trainable: str, parts: set[str]) -> None:
    optim = OptimConfig(trainable=trainable)  # pyright: ignore[reportArgumentType]
    frozen = freeze(model, optim, parts_of(model))
    assert {group["name"].split("/")[0] for group in parameter_groups(model, optim, parts_of(model))} == parts
    block_norm = next(m for m in model.modules() if isinstance(m, NonLocalBlock)).norm
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm3d)]
    expected = {id(m) for m in norms if not ("blocks" in parts and m is block_norm)}
    assert {id(m) for m in frozen} == expected


def test_frozen_norms_stay_frozen_over_train_calls_and_training(tmp_path) -> None:
    model = Toy()
    model.norm.running_mean.fill_(0.25)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    toy_train(tmp_path, model=model, optim=OptimConfig(batch_size=4, lr=0.05, freeze_bn=True))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith("norm."), name
    assert not model.norm.training


def test_train_keeps_frozen_norms_in_eval_mode() -> None:
    task = ClassifierTask(
        Toy(),
        prepare=lambda x: x,
        optim=OptimConfig(freeze_bn=True),
        schedule=ScheduleConfig(),
        seed=0,
        start_step=0,
        last_good=str,
    )
    for mode, expected in ((True, True), (False, False), (True, True)):
        task.train(mode)
        assert task.model.dropout.training == expected
        assert not task.model.norm.training


def test_head_only_training_changes_the_head_alone(tmp_path) -> None:
    model = Toy()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    toy_train(tmp_path, model=model, optim=OptimConfig(batch_size=4, lr=0.05, trainable="head"))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) != name.startswith("head."), name


def test_parts_that_the_model_does_not_have() -> None:
    with pytest.raises(ValueError, match="'blocks_and_head' needs non-local blocks"):
        freeze(Toy(), OptimConfig(trainable="blocks_and_head"), parts_of(Toy()))
    with pytest.raises(ValueError, match="needs a model with a child `head`, got Linear"):
        freeze(nn.Linear(2, 2), OptimConfig(trainable="head"), Parts())
    with pytest.raises(ValueError, match="leaves no parameter to train"):
        parameter_groups(nn.ReLU(), OptimConfig(), Parts())


def test_the_papers_schedule() -> None:
    schedule = ScheduleConfig()
    factors = [learning_rate_factor(step, schedule) for step in (0, 149_999, 150_000, 299_999, 300_000, 399_999)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_a_run_steps_as_plain_sgd_does(tmp_path) -> None:
    """The rates in the logs are the schedule's, and the weights are those of a literal loop over the same batches."""
    schedule = ScheduleConfig(steps=6, milestones=(4,), gamma=0.5, warmup_steps=2, warmup_factor=0.5)
    optim = OptimConfig(batch_size=4, lr=0.1, weight_decay=0.1, lr_factor_head=2.0, grad_clip=0.5)
    torch.manual_seed(1)
    model = Toy(dropout=0.0)
    torch.manual_seed(1)
    twin = Toy(dropout=0.0)
    batches: list[dict[str, torch.Tensor]] = []

    class KeepBatches(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            batches.append(batch)

    toy_train(
        tmp_path,
        model=model,
        optim=optim,
        schedule=schedule,
        trainer=TrainerConfig(device="cpu", log_every=1, val_every=3),
        callbacks=(KeepBatches(),),
    )
    rates = [0.05, 0.075, 0.1, 0.1, 0.05, 0.05]
    logged = [row for row in read_metrics(tmp_path / "metrics.csv") if row.split == "train"]
    assert [row.lr for row in logged] == pytest.approx(rates)
    velocity = {name: torch.zeros_like(p) for name, p in twin.named_parameters()}
    for batch, rate, row in zip(batches, rates, logged, strict=True):
        loss = nn.functional.cross_entropy(twin(batch["frames"].permute(0, 4, 1, 2, 3)), batch["label"])
        assert row.loss == pytest.approx(loss.item(), rel=1e-5)
        gradients = dict(zip(velocity, torch.autograd.grad(loss, list(twin.parameters())), strict=True))
        norm = torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt()
        with torch.no_grad():
            for name, p in twin.named_parameters():
                decay = 0.0 if name.startswith("norm.") else 0.1
                g = gradients[name] * min(1.0, 0.5 / norm.item()) + decay * p
                velocity[name] = 0.9 * velocity[name] + g
                p -= rate * (2.0 if name.startswith("head.") else 1.0) * (g + 0.9 * velocity[name])
    for name, p in twin.named_parameters():
        torch.testing.assert_close(model.get_parameter(name), p, rtol=1e-4, atol=1e-5)


def test_bf16_computes_coarsely_and_keeps_float32_weights(tmp_path) -> None:
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        out = tmp_path / precision
        out.mkdir()
        torch.manual_seed(1)
        # Not 3 frames over the clip's 2: where a processor has bfloat16, oneDNN then leaves that gradient unset.
        model = Toy(dropout=0.0, frames_of_kernel=1)
        trainer = TrainerConfig(device="cpu", precision=precision, log_every=1)  # pyright: ignore[reportArgumentType]
        toy_train(out, model=model, trainer=trainer)
        assert all(p.dtype == torch.float32 for p in model.parameters())
        losses.append([row.loss for row in read_metrics(out / "metrics.csv")])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], abs=0.05)


def test_adamw_without_weight_decay_is_adam(model: VideoResNet) -> None:
    optim = OptimConfig(method="adamw", lr=0.01, nesterov=False, weight_decay=0.0)
    optimizer = build_optimizer(model, optim, parts_of(model))
    assert isinstance(optimizer, torch.optim.AdamW)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in parameters]
    other = torch.optim.Adam(theirs, lr=0.01)
    for ours, copy in zip(parameters, theirs, strict=True):
        ours.grad = torch.randn_like(ours)
        copy.grad = ours.grad.clone()
    optimizer.step()
    other.step()
    for ours, copy in zip(parameters, theirs, strict=True):
        torch.testing.assert_close(ours, copy)
