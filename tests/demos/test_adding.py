"""The demo on sequences at its smallest, by its command."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from nonlocalnet.commands.main import main
from nonlocalnet.demos.adding import ARMS, AddingDemoSize


@pytest.mark.timeout(300)
def test_demo_writes_results_and_picture_and_prints_both_tables(tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--task", "sequence", "--out", str(out), "--smallest"]) == 0
    results = json.loads((out / "results.json").read_text())
    assert list(results["arms"]) == list(ARMS)
    for name, row in results["arms"].items():
        summary = json.loads((out / "tests" / name / "summary.json").read_text())
        assert row == {"mse": summary["mse"], "r2": summary["r2"]}
        assert summary["sequences"] == 50
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    shown = capsys.readouterr().out
    assert "Measured here, on the adding problem of T = 20" in shown
    assert "not run here" in shown


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no such signals")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_demo_says_so_in_one_line(tmp_path, signum):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "nonlocalnet.commands.main", "demo", "--task", "sequence", "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as demo:
        while not list(out.glob("runs/*/metrics.csv")):
            assert demo.poll() is None
            time.sleep(0.1)
        os.killpg(demo.pid, signum)  # as a terminal and a scheduler do: to all processes
        said = demo.communicate(timeout=60)[1].splitlines()
    name = "Ctrl-C" if signum == signal.SIGINT else "SIGTERM"
    assert said == [f"nonlocalnet: stopped by {name}; start again, in another folder"]
    assert demo.returncode == 128 + signum


def test_sizes_are_refused():
    with pytest.raises(ValueError, match="length must be at least 2, got 1"):
        AddingDemoSize(length=1)
