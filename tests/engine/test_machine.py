"""What "auto" comes to, by the device."""

import dataclasses
import logging

import pytest
import torch

from nonlocalnet.engine.config import TrainerConfig
from nonlocalnet.engine.machine import describe, settled, settled_trainer
from nonlocalnet.recipes import RECIPES
from nonlocalnet.recipes import recipe as find_recipe

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(params=[False, True])
def fast(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: request.param)
    return request.param


def test_auto_is_bf16_and_channels_last_on_a_gpu_that_has_them(fast: bool) -> None:
    trainer = settled_trainer(TrainerConfig(), GPU)
    assert (trainer.precision, trainer.channels_last) == (("bf16-mixed", True) if fast else ("32-true", False))
    assert settled_trainer(trainer, CPU) == trainer


def test_auto_is_float32_on_a_cpu(fast: bool) -> None:
    trainer = settled_trainer(TrainerConfig(), CPU)
    assert (trainer.precision, trainer.channels_last) == ("32-true", False)
    assert describe(trainer) == "float32"


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_what_is_asked_for_stays(precision, channels_last: bool, fast: bool) -> None:
    asked = TrainerConfig(precision=precision, channels_last=channels_last)
    assert settled_trainer(asked, GPU) == asked
    assert ("channels-last" in describe(asked)) == channels_last


def test_published_runs_and_made_tasks_are_float32_and_no_others() -> None:
    for one in RECIPES:
        # Made tasks have an error to reach that bfloat16 may miss.
        as_published = bool(one.tables) or one.name.startswith(("release_", "c2d_r", "adding_", "copy_", "recall_"))
        assert (one.trainer.precision == "32-true") == as_published, one.name


def test_the_start_says_what_was_decided(fast: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nonlocalnet")
    made = find_recipe("longrange_c2d")
    assert settled(made, GPU) == dataclasses.replace(made, trainer=settled_trainer(made.trainer, GPU))
    assert f"arithmetic: {'bfloat16' if fast else 'float32'}" in caplog.text
    assert ("--trainer.precision 32-true" in caplog.text) == fast


def test_a_published_recipe_names_what_would_be_faster(fast: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nonlocalnet")
    made = find_recipe("c2d_r50")
    assert settled(made, GPU) == made
    assert ("--trainer.channels_last true" in caplog.text) == fast
    assert settled(made, CPU) == made
