"""The whole job by the commands alone, on encoded videos with labels as Kinetics and Charades are published."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from make_videos import write_video
from nonlocalnet.commands.main import main

KINETICS_CLASSES = ("abseiling", "air drumming", "zumba")
SHORT = ["--schedule.milestones", "[]", "--trainer.checkpoint_every", "1", "--trainer.val_every", "0"]
SMALL = [
    *("--model.width", "2", "--model.crop", "32", "--data.short_side_min", "32", "--data.short_side_max", "40"),
    *("--data.test_short_side", "32", "--data.test_crop", "32", "--data.test_clips", "2"),
    *("--data.workers", "0", "--device", "cpu", "--optim.batch_size", "2"),
]


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two lists in the published form; the files lie in class folders, as the official crawler names them."""
    root = tmp_path_factory.mktemp("kinetics")
    for split, count in (("train", 3), ("val", 4)):
        rows = ["label,youtube_id,time_start,time_end,split,is_cc"]
        for i in range(count):
            label, name = KINETICS_CLASSES[i % 3], f"{split:-<9}{i:02d}"
            folder = root / split / label.replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            write_video(folder / f"{name}_000010_000012.mp4", num_frames=20 + i, height=36, width=48 - 4 * (i % 2))
            rows.append(f'"{label}",{name},10,12,{split},0')
        (root / f"kinetics-400_{split}.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def charades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two published lists in small: several classes a video at their times, one video without any."""
    root = tmp_path_factory.mktemp("charades")
    header = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
    actions = {
        "train": ["c092 0.00 1.00;c147 0.50 2.00", "c000 0.00 2.00", ""],
        "test": ["c092 0.00 2.00", "c000 0.20 1.00;c147 0.00 2.00", "", "c092 0.10 0.30"],
    }
    for split, rows in actions.items():
        lines = [header]
        for i, text in enumerate(rows):
            name = f"{split[:2].upper()}{i:03d}"
            write_video(root / f"{name}.mp4", num_frames=20, height=36, width=44)
            lines.append(f'{name},HR43,Kitchen,6,7,Yes,"A person, cooking.",food,"She, he.",{text},2.00')
        (root / f"Charades_v1_{split}.csv").write_text("\n".join(lines) + "\n")
    return root


def run(*arguments: object) -> None:
    assert main([str(argument) for argument in arguments]) == 0


def assert_same_weights(one: Path, other: Path) -> None:
    a, b = (torch.load(out / "last.ckpt", weights_only=True)["state_dict"] for out in (one, other))
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name


def summary(out: Path) -> dict:
    return json.loads((out / "summary.json").read_text())


def test_kinetics_from_csv_to_an_ensemble(kinetics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data.root", kinetics, "--data.train", "kinetics-400_train.csv", "--data.val", "kinetics-400_val.csv"]
    options = [*data, *SMALL, *SHORT, "--model.num_classes", 3, "--data.clip_frames", 8]
    row, out = "nl_c2d_r50_1block", tmp_path / "run"
    run("train", row, *options, "--out", out, "--schedule.steps", 2)
    run("train", row, *options, "--out", out, "--schedule.steps", 3, "--resume")
    run("train", row, *options, "--out", tmp_path / "whole", "--schedule.steps", 3)
    assert_same_weights(out, tmp_path / "whole")
    weights = ["--weights", out / "last.ckpt", "--data.root", kinetics, "--device", "cpu"]
    tests = {
        "full": [],
        "crops": ["--views", "2x3", "--data.test_positions", "wrapped"],
        "centre": ["--views", "1x1", "--fold-bn"],
    }
    for name, protocol in tests.items():
        run("test", row, *weights, *protocol, "--out", tmp_path / name)
        assert summary(tmp_path / name)["videos"] == 4
    rows = list(csv.DictReader((tmp_path / "full" / "scores.csv").read_text().splitlines()))
    assert [int(r["label"]) for r in rows] == [0, 1, 2, 0]
    assert all(f"score:{name}" in rows[0] for name in KINETICS_CLASSES)
    capsys.readouterr()
    run("ensemble", tmp_path / "full", tmp_path / "crops", "--out", tmp_path / "both")
    assert "average of 2" in capsys.readouterr().out
    both = list(csv.DictReader((tmp_path / "both" / "scores.csv").read_text().splitlines()))
    for name, average in both[0].items():
        if name.startswith("score:"):
            parts = [
                next(csv.DictReader((tmp_path / part / "scores.csv").read_text().splitlines()))[name]
                for part in ("full", "crops")
            ]
            assert float(average) == pytest.approx(sum(map(float, parts)) / 2, abs=1e-6)
    run("recipes", "--json", "--table", "2a", "--results", tmp_path / "full", tmp_path / "crops")
    ours = {r["name"]: r["ours"] for r in json.loads(capsys.readouterr().out)}
    assert [result["top1"] for result in ours[row]] == [summary(tmp_path / part)["top1"] for part in ("full", "crops")]
    assert ours["c2d_r50"] == []


def test_charades_from_csv_to_map(charades: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data.root", charades, *SMALL, *SHORT, "--data.clip_frames", 16, "--no-rescale"]
    row, out = "charades_i3d_r101", tmp_path / "run"
    run("train", row, *options, "--out", out, "--schedule.steps", 1)
    run("train", row, *options, "--out", out, "--schedule.steps", 2, "--resume")
    run("train", row, *options, "--out", tmp_path / "whole", "--schedule.steps", 2)
    assert_same_weights(out, tmp_path / "whole")
    assert "best validation mAP" in capsys.readouterr().out
    weights = ["--weights", out / "last.ckpt", "--data.root", charades, "--device", "cpu"]
    run("test", row, *weights, "--out", tmp_path / "mean")
    printed = capsys.readouterr().out
    assert "mAP (%)" in printed
    assert "mAP by pooling over the views: mean" in printed
    assert "154 classes have no video here" in printed
    run("test", row, *weights, "--out", tmp_path / "max", "--views", "2x3", "--data.test_pooling", "max")
    for name in ("mean", "max"):
        result = summary(tmp_path / name)
        assert result["map"] == result["map_by_pooling"][name]
        assert "top1" not in result
        ap = {entry["class"]: entry["ap"] for entry in result["per_class"] if entry["ap"] is not None}
        assert sorted(ap, key=int) == ["0", "92", "147"]
        assert result["map"] == pytest.approx(sum(ap.values()) / 3)
    rows = list(csv.DictReader((tmp_path / "mean" / "scores.csv").read_text().splitlines()))
    assert [r["label"] for r in rows] == ["92", "0 147", "", "92"]
    scores = [float(rows[0][f"score:{i}"]) for i in range(157)]
    assert all(0 < score < 1 for score in scores)
    assert sum(scores) > 2  # sigmoids, not a softmax
    run("ensemble", tmp_path / "mean", tmp_path / "max", "--out", tmp_path / "both", "--pooling", "max")
    assert "map" in summary(tmp_path / "both")
    capsys.readouterr()
    run("predict", charades / "TE000.mp4", *weights[:2], "--views", "1x1", "--device", "cpu", "--json")
    (prediction,) = json.loads(capsys.readouterr().out)
    assert sum(prediction["scores"]) > 1.5  # five sigmoids of about one half
