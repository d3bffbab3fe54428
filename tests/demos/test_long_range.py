"""The demo at its smallest, by its command."""

import json
import statistics

import pytest

from nonlocalnet.commands.main import main
from nonlocalnet.demos.long_range import DemoSize


@pytest.mark.timeout(600)
def test_demo_writes_results_and_pictures_and_prints_both_tables(tmp_path, capsys):
    out = tmp_path / "demo"
    small = ["--seeds", "2", "--steps", "3", "--train_videos", "16", "--val_videos", "6", "--test_videos", "12"]
    assert main(["demo", "--out", str(out), *small]) == 0
    results = json.loads((out / "results.json").read_text())
    for name in ("c2d", "nl_c2d"):
        seeds = results[name]["top1"]["seeds"]
        assert len(seeds) == 2
        assert results[name]["top1"]["mean"] == pytest.approx(statistics.mean(seeds))
        assert results[name]["top1"]["std"] == pytest.approx(statistics.stdev(seeds))
        for seed, top1 in enumerate(seeds):
            summary = json.loads((out / "tests" / f"{name}_seed{seed}" / "summary.json").read_text())
            assert summary["top1"] == top1
            assert summary["videos"] == 12
    assert results["nl_c2d"]["params"] > results["c2d"]["params"]
    assert results["nl_c2d"]["flops"] > results["c2d"]["flops"]
    for picture in ("curves.png", "look.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
    assert "NL C2D, seed" in (out / "look.html").read_text()
    shown = capsys.readouterr().out
    assert "Measured here" in shown
    assert "Published by the paper" in shown
    assert "73.8" in shown


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="test_videos must be at least 1, got 0"):
        DemoSize(test_videos=0)
