"""A run that dies at any moment and is resumed ends exactly as one that was left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine.toy import Toy, ToyClips, toy_run, toy_train
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig
from nonlocalnet.runs.video.results.counts import read_metrics


class DiedError(Exception):
    pass


class DieAt(pl.Callback):
    """Dies in the middle of a step, between its micro-batches, or at the start of a validation."""

    def __init__(self, step: int, *, micro_batch: int = 1, in_validation: bool = False) -> None:
        self.step, self.micro_batch, self.in_validation = step, micro_batch, in_validation

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if not self.in_validation and pl_module.steps_done == self.step and batch_idx % 2 == self.micro_batch:
            raise DiedError

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if self.in_validation and pl_module.steps_done == self.step:
            raise DiedError


def checkpoint(out: Path, name: str = "last.ckpt") -> dict[str, Any]:
    return torch.load(out / name, weights_only=True)


def assert_same_run(a: Path, b: Path) -> None:
    for name in ("last.ckpt", "best.ckpt"):
        one, other = checkpoint(a, name), checkpoint(b, name)
        assert one["global_step"] == other["global_step"]
        assert one["callbacks"] == other["callbacks"]
        assert one["state_dict"].keys() == other["state_dict"].keys()
        for key, tensor in one["state_dict"].items():
            assert torch.equal(tensor, other["state_dict"][key]), key
        momenta, others = (c["optimizer_states"][0]["state"] for c in (one, other))
        assert momenta.keys() == others.keys()
        for key, state in momenta.items():
            assert torch.equal(state["momentum_buffer"], others[key]["momentum_buffer"])
    assert (a / "metrics.csv").read_text() == (b / "metrics.csv").read_text()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    toy_run(out)
    return out


def test_killed_often_ends_bit_identical(undisturbed: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name("kill_often.py")
    command = [sys.executable, str(script), "toy", str(tmp_path), "1", "8"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert finished.returncode == 0, finished.stderr[-3000:]
    reached = json.loads(finished.stdout)
    # The kills really fell into the run, at different places.
    assert len({step for step in reached if 0 < step < 40}) >= 2, reached
    assert_same_run(undisturbed, tmp_path)


@pytest.mark.parametrize(
    "deaths",
    [
        [DieAt(0, micro_batch=0)],
        [DieAt(13, micro_batch=0), DieAt(14, micro_batch=1), DieAt(15, micro_batch=1)],
        [DieAt(7, in_validation=True), DieAt(39, micro_batch=1), DieAt(40, in_validation=True)],
    ],
    ids=["before the first step", "around a validation", "in validations"],
)
def test_died_at_chosen_places_ends_bit_identical(undisturbed: Path, tmp_path: Path, deaths: list[DieAt]) -> None:
    for death in [*deaths, None]:
        start = checkpoint(tmp_path)["global_step"] if (tmp_path / "last.ckpt").exists() else 0
        where = {"start_step": start, "resume_from": tmp_path / "last.ckpt" if start else None}
        if death is None:
            toy_run(tmp_path, **where)
        else:
            with pytest.raises(DiedError):
                toy_run(tmp_path, **where, callbacks=(death,))
    assert_same_run(undisturbed, tmp_path)


def test_the_comparison_can_fail(undisturbed: Path, tmp_path: Path) -> None:
    """A resumption that begins one step off gives other weights: the tests above look at something."""
    with pytest.raises(DiedError):
        toy_run(tmp_path, callbacks=(DieAt(10),))
    toy_run(tmp_path, start_step=9, resume_from=tmp_path / "last.ckpt")
    with pytest.raises(AssertionError):
        assert_same_run(undisturbed, tmp_path)


def test_checkpoints_between_intervals(tmp_path: Path) -> None:
    """With rare checkpoints, steps are repeated after a death, and their rows stand in the logs once."""
    settings: dict[str, Any] = {
        "optim": OptimConfig(batch_size=4, lr=0.05),
        "trainer": TrainerConfig(device="cpu", val_every=0, checkpoint_every=4, log_every=2),
    }
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for out in (whole, broken):
        out.mkdir()
    toy_train(whole, **settings)
    with pytest.raises(DiedError):
        toy_train(broken, **settings, callbacks=(DieAt(11, micro_batch=0), DieAt(11, micro_batch=1)))
    assert checkpoint(broken)["global_step"] == 8
    assert [row.step for row in read_metrics(broken / "metrics.csv")] == [2, 4, 6, 8, 10]
    with (broken / "metrics.csv").open("a") as file:
        file.write("12,train,0.5")  # a row cut off by the kill
    toy_train(broken, **settings, start_step=8, resume_from=broken / "last.ckpt")
    assert_same_run(whole, broken)
    events = EventAccumulator(str(broken / "tensorboard")).Reload().Scalars("loss/train")
    rows = [row for row in read_metrics(broken / "metrics.csv") if row.split == "train"]
    assert [(event.step, event.value) for event in events] == [(row.step, pytest.approx(row.loss)) for row in rows]


@pytest.mark.parametrize(("left", "words"), [(4, None), (3, "no row after step 6"), (0, "no row of the training")])
def test_rows_that_a_cut_metrics_csv_lacks_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, left: int, words: str | None
) -> None:
    settings: dict[str, Any] = {"trainer": TrainerConfig(device="cpu", val_every=0, checkpoint_every=4, log_every=2)}
    with pytest.raises(DiedError):
        toy_train(tmp_path, **settings, callbacks=(DieAt(11, micro_batch=0), DieAt(11, micro_batch=1)))
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[: 1 + left]))
    toy_train(tmp_path, **settings, start_step=8, resume_from=tmp_path / "last.ckpt")
    said = [record.getMessage() for record in caplog.records]
    lost = [text for text in said if "any that were logged between are lost" in text]
    assert [f"{metrics} holds {words}, and the run goes on from step 8" in text for text in lost] == [True] * bool(
        words
    )


def test_workers_do_not_change_the_result(tmp_path: Path) -> None:
    outs = []
    for workers in (0, 2):
        out = tmp_path / str(workers)
        out.mkdir()
        toy_train(out, workers=workers)
        outs.append(out)
    assert_same_run(*outs)


def test_a_finished_run_resumes_to_the_same_result(undisturbed: Path, tmp_path: Path) -> None:
    before = (undisturbed / "last.ckpt").read_bytes()
    result = toy_run(undisturbed, start_step=40, resume_from=undisturbed / "last.ckpt")
    assert (undisturbed / "last.ckpt").read_bytes() == before
    assert result.steps == 40
    assert result.validation is not None
    assert result.validation.step == 40


def _without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda saved: saved.pop(name)


def _as(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda saved: saved.update({name: value})


def _momentum(value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda saved: saved["optimizer_states"][0]["state"][0].update({"momentum_buffer": value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without("optimizer_states"), "it has no optimizer_states"),
        (_as("optimizer_states", []), "it has 0 states of an optimiser"),
        (_as("optimizer_states", [{}]), "the optimiser's state is none"),
        (_as("optimizer_states", "x"), "its optimizer_states is a str"),
        (lambda saved: saved["optimizer_states"][0].update(state={}), "the optimiser's state is empty"),
        (lambda saved: saved["optimizer_states"][0].update(state={0: 3}), "state of tensor 0 is a int"),
        (lambda saved: saved["optimizer_states"][0].update(param_groups=[]), r"groups of \[\] tensors"),
        (lambda saved: saved["optimizer_states"][0].update(param_groups=5), "the optimiser's groups are none"),
        (_momentum(torch.zeros(2)), r"momentum_buffer of tensor 0 is \(2,\) beside"),
        (lambda saved: saved["optimizer_states"][0]["state"].update({0: {}}), "state of tensor 0 holds"),
        (lambda saved: saved["optimizer_states"][0]["state"].update({"a": {}}), "state is of a tensor a"),
        (_momentum(3), "momentum_buffer of tensor 0 is no tensor of real numbers"),
        (_momentum(torch.tensor(1.0)), r"momentum_buffer of tensor 0 is \(\) beside"),
        (
            lambda saved: saved["optimizer_states"][0]["param_groups"][0]["params"].reverse(),
            "do not number its tensors",
        ),
        (_as("callbacks", {}), "it does not say how good the best checkpoint is"),
        (_as("callbacks", {"Checkpoints": {"best_quality": "x", "best_step": 1}}), "how good the best checkpoint is"),
        (_as("pytorch-lightning_version", "1.0.0"), "its pytorch-lightning_version is '1.0.0'"),
        (_as("global_step", True), "its global_step is a bool"),
        (
            lambda saved: saved["state_dict"].update({n: t.int() for n, t in saved["state_dict"].items()}),
            "real numbers",
        ),
        (_as("callbacks", 5), "its callbacks is a int"),
        (_as("callbacks", {"Checkpoints": 5}), "its callbacks hold Checkpoints as no dictionary"),
        (_as("loops", {}), "it has loops"),
        (_without("pytorch-lightning_version"), "it has no pytorch-lightning_version"),
        (_as("pytorch-lightning_version", 5), "its pytorch-lightning_version is a int"),
        (_without("lr_schedulers"), "it has no lr_schedulers"),
        (lambda saved: saved["state_dict"].popitem(), "it has no tensor "),
        (lambda saved: saved["state_dict"].update(more=torch.zeros(1)), "it has more, which this network has not"),
        (
            lambda saved: saved["state_dict"].update({next(iter(saved["state_dict"])): torch.zeros(7, 7)}),
            r"is \(7, 7\)",
        ),
    ],
)
def test_what_is_no_whole_state_of_the_training_is_refused(
    undisturbed: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    """Hand-made, or stripped to save space: Lightning goes on without its momentum, or ends somewhere inside."""
    path = tmp_path / "last.ckpt"
    saved = torch.load(undisturbed / "last.ckpt", weights_only=True)
    change(saved)
    torch.save(saved, path)
    with pytest.raises(ValueError, match=f"^{path} is no state that the training can go on from: .*{said}"):
        toy_run(tmp_path, start_step=40, resume_from=path)
    assert torch.load(path, weights_only=True).keys() == saved.keys()  # as it was


def test_all_randomness_is_keyed_by_the_seed(tmp_path: Path) -> None:
    weights = []
    for seed in (0, 0, 1):
        out = tmp_path / f"{len(weights)}"
        out.mkdir()
        torch.manual_seed(3)
        model = Toy()
        toy_train(
            out,
            model=model,
            dataset=ToyClips(),
            schedule=ScheduleConfig(steps=3, milestones=()),
            trainer=TrainerConfig(device="cpu", seed=seed),
        )
        weights.append(checkpoint(out)["state_dict"]["model.conv.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
