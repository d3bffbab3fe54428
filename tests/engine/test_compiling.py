"""What a run that compiles says at its first step."""

import logging
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from nonlocalnet.engine.compiling import CompileNotes
from nonlocalnet.engine.config import OptimConfig, TrainerConfig
from nonlocalnet.engine.train import lightning_trainer


def test_the_first_step_is_announced_and_timed_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nonlocalnet")
    notes: Any = CompileNotes()
    for step in range(3):
        notes.on_train_batch_start(None, None, None, step)
        assert len(caplog.records) == (1 if step == 0 else 2)
        notes.on_train_batch_end(None, None, None, None, step)
    assert caplog.records[0].message.startswith("the first step compiles the network")
    assert caplog.records[1].message == "compiled: the first step took 0 s"


@pytest.mark.parametrize("precision", ["high", "highest"])
def test_products_in_float32_are_as_exact_as_asked(precision: Any, tmp_path: Any) -> None:
    before = torch.get_float32_matmul_precision()
    try:
        trainer = lightning_trainer(
            TrainerConfig(float32_matmul_precision=precision, device="cpu"),
            OptimConfig(),
            out=tmp_path,
            steps=1,
            validates=False,
            callbacks=[],
        )
        assert isinstance(trainer, pl.Trainer)
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
