"""From a folder of encoded videos to a trained and tested network, on the real thing at its smallest."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

import nonlocalnet
from nonlocalnet import formats
from nonlocalnet.data.video.reader import VideoError
from nonlocalnet.engine.config import OptimConfig
from nonlocalnet.runs.video import test as testing
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.data import build_train_loaders, build_val_loader, load_videos
from nonlocalnet.runs.video.predict import predict
from nonlocalnet.runs.video.results.counts import read_metrics
from nonlocalnet.runs.video.train import train_recipe
from nonlocalnet.system.errors import OutputError
from runs.video.tiny import tiny_recipe, tiny_videos


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_videos(tmp_path_factory.mktemp("data") / "videos")


@pytest.fixture(scope="module")
def run(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    train_recipe(tiny_recipe(videos), out=out, progress=False)
    return out


def change(recipe: VideoRecipe, section: str, **values: Any) -> VideoRecipe:
    return dataclasses.replace(recipe, **{section: dataclasses.replace(getattr(recipe, section), **values)})


def assert_same_weights(a: Path, b: Path) -> None:
    one, other = (torch.load(out / "last.ckpt", weights_only=True)["state_dict"] for out in (a, b))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
    assert (a / "metrics.csv").read_text() == (b / "metrics.csv").read_text()


def test_files_of_a_run(run: Path, videos: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert names == {"recipe.json", "last.ckpt", "best.ckpt", "metrics.csv", "tensorboard"}
    assert json.loads((run / "recipe.json").read_text())["model"]["width"] == 4
    rows = read_metrics(run / "metrics.csv")
    assert [r.step for r in rows if r.split == "train"] == list(range(1, 9))
    assert [r.step for r in rows if r.split == "val"] == [3, 6, 8]
    model = formats.from_checkpoint(run / "best.ckpt")
    assert formats.card_of(model).class_names == ["red", "green", "blue", "yellow"]


def test_workers_do_not_change_a_run(run: Path, videos: Path, tmp_path: Path) -> None:
    train_recipe(tiny_recipe(videos, workers=2), out=tmp_path / "out", progress=False)
    assert_same_weights(run, tmp_path / "out")


def test_killed_often_ends_bit_identical(run: Path, videos: Path, tmp_path: Path) -> None:
    shutil.copytree(videos, tmp_path / "videos")
    script = Path(__file__).parents[2] / "engine" / "kill_often.py"
    command = [sys.executable, str(script), "recipe", str(tmp_path / "out"), "2", "3"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert any(0 < step < 8 for step in json.loads(finished.stdout))
    assert_same_weights(run, tmp_path / "out")


@pytest.mark.slow
def test_a_compiled_run_is_the_same_to_rounding(videos: Path, tmp_path: Path) -> None:
    # Without dropout: compiled code draws other random numbers.
    eager = change(tiny_recipe(videos), "model", dropout=0.0)
    compiled = change(eager, "trainer", compile=True)
    train_recipe(eager, out=tmp_path / "eager", progress=False)
    train_recipe(compiled, out=tmp_path / "out", progress=False)
    losses, expected = ([row.loss for row in read_metrics(tmp_path / n / "metrics.csv")] for n in ("out", "eager"))
    assert losses == pytest.approx(expected, abs=1e-3)
    # The checkpoint is an ordinary one: it loads into the network as it is, which gives the same scores.
    model, other = (formats.from_checkpoint(tmp_path / n / "last.ckpt").eval() for n in ("out", "eager"))
    x = torch.rand(1, 3, 4, 32, 32)
    torch.testing.assert_close(model(x), other(x), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_a_compiled_run_resumes_bit_identical(videos: Path, tmp_path: Path) -> None:
    compiled = change(tiny_recipe(videos), "trainer", compile=True)
    train_recipe(compiled, out=tmp_path / "whole", progress=False)
    train_recipe(change(compiled, "schedule", steps=6), out=tmp_path / "parts", progress=False)
    train_recipe(compiled, out=tmp_path / "parts", resume=True, progress=False)
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


def test_resume_refuses_other_settings(run: Path, videos: Path) -> None:
    before = (run / "last.ckpt").read_bytes()
    for section, values, message in (
        ("optim", {"lr": 0.5}, r"optim\.lr was 0\.02 and is 0\.5 now"),
        ("model", {"width": 8}, r"model\.width was 4 and is 8 now"),
        ("trainer", {"seed": 3}, r"trainer\.seed was 0 and is 3 now"),
        ("data", {"limit": 4}, r"data\.limit was None and is 4 now"),
    ):
        with pytest.raises(ValueError, match=message):
            train_recipe(change(tiny_recipe(videos), section, **values), out=run, resume=True, progress=False)
    assert (run / "last.ckpt").read_bytes() == before


def test_resume_may_train_longer(run: Path, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(run, out)
    result = train_recipe(change(tiny_recipe(videos), "schedule", steps=9), out=out, resume=True, progress=False)
    assert result.steps == 9
    assert read_metrics(out / "metrics.csv")[-1].step == 9


def test_resume_without_a_run(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"holds no run to resume \(no recipe\.json or last\.ckpt, but thesis\.tex\)"):
        train_recipe(tiny_recipe(videos), out=tmp_path, resume=True, progress=False)


def test_resume_without_its_newest_checkpoint(run: Path, videos: Path, tmp_path: Path) -> None:
    """It began anew, over the best checkpoint that was there."""
    out = tmp_path / "out"
    shutil.copytree(run, out)
    (out / "last.ckpt").unlink()
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(ValueError, match=r"holds a best\.ckpt and no last\.ckpt, .* --init .*best\.ckpt"):
        train_recipe(tiny_recipe(videos), out=out, resume=True, progress=False)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    (out / "last.ckpt").mkdir()
    with pytest.raises(ValueError, match=r"last\.ckpt is a folder, where a run has its newest checkpoint"):
        train_recipe(tiny_recipe(videos), out=out, resume=True, progress=False)


def test_a_run_that_came_to_nothing_leaves_its_place(run: Path, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(run, out)
    for name in ("last.ckpt", "best.ckpt"):
        (out / name).unlink()
    (out / "metrics.csv").write_text("step,split,loss,lr,another\n1,train,1,1,1\n")  # of another kind
    result = train_recipe(tiny_recipe(videos), out=out, progress=False)
    assert [row.step for row in read_metrics(out / "metrics.csv")][-1] == result.steps
    assert result.best_quality == max(row.quality for row in read_metrics(out / "metrics.csv") if row.split == "val")


def test_the_best_of_a_resumed_run_is_its_checkpoints(run: Path, videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(run, out)
    best = max(row.quality for row in read_metrics(run / "metrics.csv") if row.split == "val")
    (out / "metrics.csv").unlink()
    result = train_recipe(change(tiny_recipe(videos), "schedule", steps=9), out=out, resume=True, progress=False)
    assert result.best_quality is not None
    assert result.best_quality >= best


def test_resume_of_a_truncated_checkpoint(run: Path, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes((run / "last.ckpt").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"last\.ckpt cannot be read: it is a zip archive that is truncated"):
        train_recipe(tiny_recipe(videos), out=tmp_path, resume=True, progress=False)


def test_output_folder_is_not_overwritten(run: Path, videos: Path) -> None:
    with pytest.raises(OutputError, match="exists and is not empty"):
        train_recipe(tiny_recipe(videos), out=run, progress=False)


def test_init_starts_from_another_run(run: Path, videos: Path, tmp_path: Path) -> None:
    class First(pl.Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.weights = {name: tensor.clone() for name, tensor in pl_module.model.state_dict().items()}

    first = First()
    recipe = change(tiny_recipe(videos), "optim", trainable="blocks_and_head", lr_factor_blocks=2.0)
    recipe = change(recipe, "schedule", steps=1, milestones=())
    train_recipe(recipe, out=tmp_path / "out", init=run / "last.ckpt", progress=False, callbacks=(first,))
    start = formats.from_checkpoint(run / "last.ckpt").state_dict()
    end = formats.from_checkpoint(tmp_path / "out" / "last.ckpt").state_dict()
    for name, tensor in first.weights.items():
        assert torch.equal(tensor, start[name]), name
        if not name.startswith(("head.", "res4.4_nonlocal.")):
            assert torch.equal(tensor, end[name]), name
    assert not torch.equal(end["head.projection.weight"], start["head.projection.weight"])


def test_a_run_as_the_release_trains(run: Path, videos: Path, tmp_path: Path) -> None:
    """It learns from the release's clips, validates on random ones, and its classifier starts fresh."""
    recipe = dataclasses.replace(change(tiny_recipe(videos), "data", as_release=True), fresh_classifier=True)
    recipe = change(recipe, "optim", trainable="blocks_and_head")
    train_recipe(recipe, out=tmp_path / "out", init=run / "last.ckpt", progress=False)
    start = formats.from_checkpoint(run / "last.ckpt").state_dict()
    end = formats.from_checkpoint(tmp_path / "out" / "last.ckpt").state_dict()
    assert torch.equal(end["res2.0.conv1.weight"], start["res2.0.conv1.weight"])
    assert not torch.equal(end["head.projection.weight"], start["head.projection.weight"])
    (loader, centre) = (
        build_val_loader(change(recipe, "data", as_release=asked), load_videos(recipe, "val"))
        for asked in (True, False)
    )
    seen, other = (torch.cat([batch["frames"] for batch in one]) for one in (loader, centre))
    assert seen.shape == other.shape
    assert not torch.equal(seen, other)


def test_init_from_another_function_is_refused_or_said_in_the_card(run: Path, videos: Path, tmp_path: Path) -> None:
    recipe = change(change(tiny_recipe(videos), "model", pairwise="dot_product"), "schedule", steps=2, milestones=())
    named = "pairwise is 'dot_product' here and 'embedded_gaussian' there in the blocks"
    with pytest.raises(ValueError, match=f"{named}.*--init-anyway"):
        train_recipe(recipe, out=tmp_path / "out", init=run / "last.ckpt", progress=False)
    assert not (tmp_path / "out").exists()
    started = {"file": "last.ckpt", "differences": [named]}
    train_recipe(recipe, out=tmp_path / "out", init=run / "last.ckpt", init_anyway=True, progress=False)
    assert formats.from_checkpoint(tmp_path / "out" / "last.ckpt").card.start == started
    longer = change(recipe, "schedule", steps=3, milestones=())
    train_recipe(longer, out=tmp_path / "out", resume=True, progress=False)
    assert formats.from_checkpoint(tmp_path / "out" / "last.ckpt").card.start == started


def test_testing_writes_the_report(run: Path, videos: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(videos)
    summary = testing.test_recipe(recipe, weights=run / "best.ckpt", out=tmp_path / "test", progress=False)
    assert (summary.videos, summary.unreadable) == (4, 0)
    rows = list(csv.DictReader((tmp_path / "test" / "scores.csv").read_text().splitlines()))
    model = formats.from_checkpoint(run / "best.ckpt")
    for row, item in zip(rows, testing.build_test_videos(recipe, load_videos(recipe, "test")), strict=True):
        views = (item["views"].float() - 114.75) / 57.375
        expected = model.scores(views.permute(0, 4, 1, 2, 3)).mean(0)
        scores = [float(row[f"score:{name}"]) for name in ("red", "green", "blue", "yellow")]
        assert scores == pytest.approx(expected.tolist(), rel=1e-4)
        assert int(row["label"]) == item["label"]
    with pytest.raises(OutputError, match="exists and is not empty"):
        testing.test_recipe(recipe, weights=run / "best.ckpt", out=tmp_path / "test", progress=False)


def test_unreadable_videos(run: Path, videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "videos"
    shutil.copytree(videos, root)
    broken = next(iter(load_videos(tiny_recipe(root), "test").entries)).path
    broken.write_bytes(b"")
    summary = testing.test_recipe(tiny_recipe(root), weights=run / "best.ckpt", out=tmp_path / "test", progress=False)
    assert (summary.videos, summary.unreadable) == (4, 1)
    (entry,) = json.loads((tmp_path / "test" / "summary.json").read_text())["unreadable"]
    assert entry["path"] == str(broken)
    load_videos(tiny_recipe(root), "train").entries[0].path.write_bytes(b"not a video")
    load_videos(tiny_recipe(root), "val").entries[0].path.write_bytes(b"not a video")
    train_recipe(tiny_recipe(root), out=tmp_path / "out", progress=False)
    assert "training clips stood in for videos that could not be read" in caplog.text
    validation = read_metrics(tmp_path / "out" / "metrics.csv")[-1]
    assert validation.top5 == pytest.approx(80.0)  # 4 of 5 videos: the unreadable one is wrong


@pytest.mark.parametrize("workers", [0, 1])
def test_no_readable_video_at_all_is_one_line(videos: Path, tmp_path: Path, workers: int) -> None:
    root = tmp_path / "videos"
    shutil.copytree(videos, root)
    for entry in load_videos(tiny_recipe(root), "train").entries:
        entry.path.write_bytes(b"not a video")
    with pytest.raises(VideoError, match=r"^[^\n]*train\.csv: 21 videos drawn one after the other[^\n]*$"):
        train_recipe(tiny_recipe(root, workers=workers), out=tmp_path / "out", progress=False)


def test_predict(run: Path, videos: Path, tmp_path: Path) -> None:
    model = formats.from_checkpoint(run / "best.ckpt")
    one = next(iter(load_videos(tiny_recipe(videos), "test").entries)).path
    named, missing = predict(model, [one, tmp_path / "no.mp4"], num_clips=2)
    assert sorted(named.names) == ["blue", "green", "red", "yellow"]
    assert named.scores == sorted(named.scores, reverse=True)
    assert sum(named.scores) == pytest.approx(1, abs=1e-5)
    assert missing.classes == []
    assert "no.mp4" in missing.error
    assert nonlocalnet.predict(model, one, num_clips=2) == named
    model.card = dataclasses.replace(formats.card_of(model), class_names=None)
    bare = predict(model, str(one), clip="2x2", num_clips=2, top=2)
    assert bare.names == [str(i) for i in bare.classes]
    assert len(bare.classes) == 2
    # Of one path alone the error is raised.
    with pytest.raises(FileNotFoundError, match=r"video file not found: .*no.mp4"):
        predict(model, tmp_path / "no.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match=r"empty.mp4: the file is empty"):
        predict(model, tmp_path / "empty.mp4")
    # Refused before the video, which does not exist, is opened.
    with pytest.raises(ValueError, match=r"clip \(--clip\) must have at least 2 frames .* got '1x4'"):
        predict(model, ["no.mp4"], clip="1x4")
    with pytest.raises(ValueError, match=r"top \(--top\) must be at least 1, got 0"):
        predict(model, ["no.mp4"], top=0)


def test_limit_takes_some_of_the_videos(videos: Path) -> None:
    recipe = change(tiny_recipe(videos), "data", limit=3)
    assert [len(load_videos(recipe, split).entries) for split in ("train", "val", "test")] == [3, 3, 3]


def test_accumulation_sees_the_same_samples(videos: Path) -> None:
    recipe = tiny_recipe(videos)
    batches = []
    for accumulate in (1, 2):
        one = dataclasses.replace(recipe, optim=OptimConfig(batch_size=4, accumulate=accumulate))
        loader = build_train_loaders(one, load_videos(one, "train"))(start_step=2, stop_step=4)
        batches.append(torch.cat([batch["frames"] for batch in loader]))
    assert torch.equal(*batches)


def test_bad_lists_and_roots(videos: Path, run: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(videos)
    with pytest.raises(ValueError, match=r"data\.root is not set: .*--data\.root DIR"):
        train_recipe(change(recipe, "data", root=None), out=tmp_path / "a", progress=False)
    with pytest.raises(ValueError, match="4 classes, but num_classes is 5"):
        train_recipe(change(recipe, "model", num_classes=5), out=tmp_path / "a", progress=False)
    with pytest.raises(FileNotFoundError, match=r"nowhere"):
        train_recipe(change(recipe, "data", root=str(tmp_path / "nowhere")), out=tmp_path / "a", progress=False)
    assert not (tmp_path / "a").exists()
    other = tmp_path / "videos"
    shutil.copytree(videos, other)
    (other / "classes.txt").write_text("red\nblue\ngreen\nyellow\n")
    with pytest.raises(ValueError, match=r"test\.csv: class 1 is 'blue' here, and 'green' where the network is"):
        testing.test_recipe(tiny_recipe(other), weights=run / "best.ckpt", out=tmp_path / "a", progress=False)
