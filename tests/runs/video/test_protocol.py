"""The test protocols on encoded videos: several processes, views, pooling, arithmetic."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from nonlocalnet import formats
from nonlocalnet.data.clips.windows import wrapped_clips
from nonlocalnet.data.video.reader import count_frames
from nonlocalnet.runs.video import test as testing
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.data import clip_geometry, load_videos
from nonlocalnet.runs.video.inference import Inference
from nonlocalnet.runs.video.results.scores import load_scores
from nonlocalnet.runs.video.results.summary import TestSummary
from nonlocalnet.runs.video.train import train_recipe
from nonlocalnet.system.errors import NonFiniteError
from runs.video.tiny import tiny_recipe, tiny_videos


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tiny_videos(tmp_path_factory.mktemp("data") / "videos")
    # The fourth of the four test videos cannot be read.
    load_videos(tiny_recipe(root), "test").entries[3].path.write_bytes(b"not a video")
    return root


@pytest.fixture(scope="module")
def weights(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    recipe = change(tiny_recipe(videos), "schedule", steps=2, milestones=(), warmup_steps=0)
    train_recipe(change(recipe, "trainer", val_every=0), out=out, progress=False)
    return out / "last.ckpt"


def change(recipe: VideoRecipe, section: str, **values: Any) -> VideoRecipe:
    return dataclasses.replace(recipe, **{section: dataclasses.replace(getattr(recipe, section), **values)})


def run_test(recipe: VideoRecipe, weights: Path, out: Path, **options: Any) -> TestSummary:
    return testing.test_recipe(recipe, weights=weights, out=out, progress=False, **options)


def test_three_processes_equal_one_exactly_on_four_videos(videos: Path, weights: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(videos)
    one = run_test(recipe, weights, tmp_path / "one")
    three = run_test(change(recipe, "trainer", devices=3), weights, tmp_path / "three")
    assert one.metrics == three.metrics
    assert (three.videos, three.unreadable) == (one.videos, one.unreadable) == (4, 1)
    before, after = (load_scores(tmp_path / name) for name in ("one", "three"))
    assert [r.index for r in after.results] == [0, 1, 2, 3]
    for a, b in zip(before.results, after.results, strict=True):
        assert torch.equal(a.mean, b.mean)
        assert torch.equal(a.highest, b.highest)
        assert (a.label, a.error) == (b.label, b.error)
    assert (tmp_path / "one" / "scores.csv").read_text() == (tmp_path / "three" / "scores.csv").read_text()


def test_an_error_in_a_process_is_the_users_own(videos: Path, weights: Path) -> None:
    plan = formats.plan_file(weights, formats.Hints())
    name = next(name for name in plan.tensors if name.endswith("head.projection.bias"))
    share = testing._Share(
        recipe=change(tiny_recipe(videos), "trainer", devices=2),
        plan=dataclasses.replace(plan, tensors={**plan.tensors, name: torch.full((4,), torch.nan)}),
        videos=load_videos(tiny_recipe(videos), "test"),
        clip=clip_geometry(tiny_recipe(videos)),
        preprocessing=plan.card.preprocessing,
        inference=Inference(),
        device="cpu",
        threads=1,
    )
    with pytest.raises(NonFiniteError, match=r"scores of .*0000[01].mp4 are not finite: the weights may be"):
        testing._score(share, formats.from_checkpoint(weights), progress=False)


def test_wrapped_clips_are_the_ones_that_are_read(videos: Path) -> None:
    recipe = change(tiny_recipe(videos), "data", test_positions="wrapped", test_clips=3, test_crops="centre")
    listed = load_videos(recipe, "test")
    num_frames = count_frames(listed.entries[0].path)
    whole = change(recipe, "data", test_positions="even", test_clips=1, clip_frames=num_frames, frame_stride=1)
    all_frames = testing.build_test_videos(whole, listed)[0]["views"][0]
    views = testing.build_test_videos(recipe, listed)[0]["views"]
    for view, clip in zip(views, wrapped_clips(num_frames, clip_geometry(recipe), num_clips=3), strict=True):
        assert torch.equal(view, all_frames[clip])


@pytest.mark.parametrize(
    ("data", "views"),
    [({"test_crops": "full"}, 2), ({"test_clips": 1, "test_crops": "centre"}, 1), ({"test_positions": "wrapped"}, 6)],
)
def test_every_protocol_runs_and_says_what_it_was(
    videos: Path, weights: Path, tmp_path: Path, data: dict[str, Any], views: int
) -> None:
    recipe = change(tiny_recipe(videos), "data", **data)
    assert len(testing.build_test_videos(recipe, load_videos(recipe, "test"))[0]["views"]) == views
    run_test(recipe, weights, tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    for name, value in data.items():
        assert summary["recipe"]["data"][name] == value


def test_max_pooling_takes_the_maximum_over_views(videos: Path, weights: Path, tmp_path: Path) -> None:
    recipe = change(tiny_recipe(videos), "data", test_pooling="max")
    run_test(recipe, weights, tmp_path / "max")
    results = load_scores(tmp_path / "max").results
    assert all((r.highest >= r.mean).all() for r in results)
    summary = testing.average_tests([tmp_path / "max"], out=tmp_path / "again", pooling="max")
    assert summary.metrics == {
        key: json.loads((tmp_path / "max" / "summary.json").read_text())[key] for key in summary.metrics
    }


def test_a_test_counts_once(videos: Path, weights: Path, tmp_path: Path) -> None:
    run_test(tiny_recipe(videos), weights, tmp_path / "a")
    with pytest.raises(ValueError, match="a is given twice, and would count twice: name each test once"):
        testing.average_tests([tmp_path / "a", f"{tmp_path}/b/../a"], out=tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_other_arithmetic_is_reported(videos: Path, weights: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(videos)
    plain = run_test(recipe, weights, tmp_path / "plain")
    fast = run_test(recipe, weights, tmp_path / "fast", inference=Inference(bf16=True, fold_bn=True, compared=4))
    assert plain.arithmetic is None
    assert fast.arithmetic is not None
    assert fast.arithmetic.videos == 3  # of four one cannot be read
    written = json.loads((tmp_path / "fast" / "summary.json").read_text())
    assert written["bfloat16"]["videos"] == 3
    assert written["inference"] == {
        "bf16": True,
        "channels_last": True,
        "fold_bn": True,
        "compile": False,
        "compared": 4,
    }
    for a, b in zip(load_scores(tmp_path / "plain").results, load_scores(tmp_path / "fast").results, strict=True):
        torch.testing.assert_close(a.mean, b.mean, rtol=0, atol=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_devices_are_counted_before_anything_is_loaded(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"trainer\.devices must be at most 0, the CUDA devices here, got 2"):
        testing._check_devices(torch.device("cuda"), 2)
