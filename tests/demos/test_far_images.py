"""The demos on images at their smallest, by their command."""

import json

import pytest

from nonlocalnet.commands.main import main
from nonlocalnet.demos.far_images import TASKS, FarDemoSize
from nonlocalnet.models.detection import receptive_field
from nonlocalnet.recipes import detection_recipe
from nonlocalnet.runs.detection.network import build_detector


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("task", ["detection", "keypoints"])
def test_demo_writes_results_and_picture_and_prints_both_tables(task, tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--task", task, "--out", str(out), "--smallest"]) == 0
    results = json.loads((out / "results.json").read_text())
    arms = results["arms"]
    assert list(arms) == ["baseline", "control", "nonlocal"]
    for name, row in arms.items():
        summary = json.loads((out / "tests" / f"{name}_seed0" / "summary.json").read_text())
        for measure, kind in TASKS[task].measures.items():
            assert row[measure]["seeds"] == [summary[kind]["AP"]]
            assert row[measure]["std"] is None
        assert summary["images"] == 4
    assert (out / "detections.png").read_bytes().startswith(b"\x89PNG")
    shown = capsys.readouterr().out
    assert "Measured here" in shown
    assert "receptive field" in shown
    assert "Published by the paper" in shown


@pytest.mark.parametrize("task", TASKS)
def test_the_argument_of_the_demo(task):
    """The cue is outside of what the local detectors see, inside of what the non-local one does; parameters match."""
    demo = TASKS[task]
    detectors = {arm: build_detector(detection_recipe(name), pretrained=False) for arm, name in demo.arms.items()}
    starts = {
        arm: receptive_field(detector, image_size=demo.image_size, box=demo.box, head=demo.head, place=demo.place)[0]
        for arm, detector in detectors.items()
    }
    assert starts["baseline"] > starts["control"] >= demo.cue[1]
    assert starts["nonlocal"] <= demo.cue[0]
    params = {arm: sum(p.numel() for p in detector.parameters()) for arm, detector in detectors.items()}
    assert params["baseline"] < params["nonlocal"] <= params["control"] < 1.01 * params["nonlocal"]


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="test_images must be at least 1, got 0"):
        FarDemoSize(test_images=0)
