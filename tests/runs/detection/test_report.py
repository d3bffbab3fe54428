"""The files of a detector's test."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.runs.detection.coco_eval import CocoFigures
from nonlocalnet.runs.detection.report import write_detection_report
from nonlocalnet.system.stops import Stopped, stoppable


def test_a_signal_waits_until_all_files_of_a_report_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def rows(*_: object) -> str:
        found.extend(tmp_path.iterdir())
        os.kill(os.getpid(), signal.SIGTERM)
        return "category_id,category,box AP\n"

    monkeypatch.setattr("nonlocalnet.runs.detection.report._per_class_csv", rows)
    figures = CocoFigures({"AP": 50.0}, {1: 50.0})
    with pytest.raises(Stopped), stoppable():
        write_detection_report(
            tmp_path, {"bbox": figures}, {"bbox": []}, labels=Labels({1: 1}, {1: "cat"}), about={"images": 0}
        )
    assert found == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bbox.json", "per_class.csv", "summary.json"]
    assert json.loads((tmp_path / "summary.json").read_text()) == {"bbox": {"AP": 50.0}, "images": 0}
