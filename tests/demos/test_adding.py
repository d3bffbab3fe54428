"""The demo on sequences at its smallest, by its command."""

import json

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


def test_sizes_are_refused():
    with pytest.raises(ValueError, match="length must be at least 2, got 1"):
        AddingDemoSize(length=1)
