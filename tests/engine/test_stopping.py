"""Signals: exit code, one line, a checkpoint first, and a resumed run that ends as one that was left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.test_resume import DieAt, DiedError, assert_same_run, checkpoint
from engine.toy import toy_run

Found = tuple[Path, list[list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The folder of the runs, and what the script saw with one process and with two."""
    folder = tmp_path_factory.mktemp("stopped")
    command = [sys.executable, str(Path(__file__).with_name("stop_often.py")), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return folder, json.loads(finished.stdout)


def test_each_signal_has_its_code_and_line_and_the_run_goes_on_bit_identical(found: Found, tmp_path: Path) -> None:
    toy_run(tmp_path, checkpoint_every=100)
    names = {"TERM": (143, "SIGTERM"), "INT": (130, "Ctrl-C"), "HUP": (129, "SIGHUP")}
    last = 0
    for stop in found[1][0]:
        code, name = names[stop["case"].split()[0]]
        assert stop["codes"] == [code], stop
        # A checkpoint of the last step, though the run writes one in a hundred steps: workers outlast the signal.
        assert stop["step"] > last
        last = stop["step"]
        said = [line for line in stop["stderr"].splitlines() if not line.startswith("unreadable")]
        assert said == [f"nonlocalnet: stopped by {name} at step {last}; go on with --resume"]
        assert stop["seconds"] < 15
    assert_same_run(tmp_path, found[0] / "one")


def test_two_processes_end_together_with_one_sentence(found: Found) -> None:
    for stop in found[1][1]:
        said = [line for line in stop["stderr"].splitlines() if line.startswith("nonlocalnet")]
        assert len(said) == 1, stop
        assert "Traceback" not in stop["stderr"]
        assert stop["seconds"] < 15
        if stop["case"].startswith("TERM"):
            assert stop["codes"] == [143, 143], stop
            assert said == [f"nonlocalnet: stopped by SIGTERM at step {stop['step']}; go on with --resume"]
        else:
            assert sorted(stop["codes"]) == [-9, 1], stop
            assert "another process of this run ended" in said[0]


@pytest.mark.parametrize("step", [7, 40])
def test_a_validation_that_fails_loses_no_step_and_is_made_first_on_resuming(tmp_path: Path, step: int) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for out in (whole, broken):
        out.mkdir()
    toy_run(whole, checkpoint_every=100)
    with pytest.raises(DiedError):
        toy_run(broken, checkpoint_every=100, callbacks=(DieAt(step, in_validation=True),))
    saved = checkpoint(broken)
    assert (saved["global_step"], saved["validation_due"]) == (step, True)
    toy_run(broken, checkpoint_every=100, start_step=step, resume_from=broken / "last.ckpt")
    assert checkpoint(broken)["validation_due"] is False
    assert_same_run(whole, broken)
