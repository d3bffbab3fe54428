"""Two processes train as one does: `--devices 2` on CPU (gloo, DDP)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine.test_resume import assert_same_run
from engine.two_processes import frozen_run
from nonlocalnet.runs.video.results.counts import read_metrics


def run_two_processes(out: Path, *, start_step: int) -> str:
    """Run, and return what all processes wrote to standard error."""
    script = Path(__file__).with_name("two_processes.py")
    command = [sys.executable, str(script), str(out), str(start_step)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return finished.stderr


def test_two_processes_give_the_loss_curve_of_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for out in (one, two):
        out.mkdir()
    frozen_run(one, devices=1)
    # The first steps on one process, the others on two: the number of processes may change at a resumption.
    frozen_run(two, devices=1, steps=4)
    said = run_two_processes(two, start_step=4)
    # Both processes meet the odd file at every step, and one of them the file that is unreadable in the validation.
    for text in ("\nall.mp4: the video has 1 frame", "another takes its place: 7.mp4", "counts as wrong: broken"):
        assert f"\n{said}".count(text) == 1, said
    rows, others = read_metrics(one / "metrics.csv"), read_metrics(two / "metrics.csv")
    assert [(r.step, r.split) for r in rows] == [(r.step, r.split) for r in others]
    for row, other in zip(rows, others, strict=True):
        assert other.loss == pytest.approx(row.loss, abs=1e-5)
        # 6 videos, of which one is unreadable, over 2 processes: none is counted twice.
        assert (other.top1, other.top5, other.lr) == pytest.approx((row.top1, row.top5, row.lr))
    # The curve moves by far more than the tolerance, so that other batches would show.
    assert max(r.loss for r in rows) - min(r.loss for r in rows) > 0.01
    weights, others = (torch.load(out / "last.ckpt", weights_only=True)["state_dict"] for out in (one, two))
    for name, tensor in weights.items():
        torch.testing.assert_close(others[name], tensor, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 4])
def test_a_group_killed_in_mid_epoch_ends_bit_identical(tmp_path: Path, kills: int) -> None:
    script = Path(__file__).with_name("kill_group.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(tmp_path), str(kills)]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=280)
    assert finished.returncode == 0, finished.stderr[-3000:]
    reached = json.loads(finished.stdout)
    assert len(reached) == kills
    assert any(0 < step < 24 and step % 9 for step in reached), reached
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
