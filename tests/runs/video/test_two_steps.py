"""Every recipe reads videos, builds its network and makes two steps of training at tiny width."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from make_videos import write_video
from nonlocalnet.formats import read_tensors
from nonlocalnet.recipes import VIDEO_RECIPES
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.network import build_model
from nonlocalnet.runs.video.results.counts import read_metrics
from nonlocalnet.runs.video.train import train_recipe

CLASSES = 3


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists of each kind over the same two short videos."""
    root = tmp_path_factory.mktemp("videos")
    for name in ("a", "b"):
        write_video(root / f"{name}.mp4", num_frames=16, height=40, width=48)
    (root / "single.txt").write_text("a.mp4 0\nb.mp4 2\n")
    (root / "several.txt").write_text("a.mp4 0 2\nb.mp4 1\n")
    return root


def tiny(recipe: VideoRecipe, root: Path) -> VideoRecipe:
    """The recipe with everything that costs time made small, and nothing else."""
    several = recipe.model.multi_label
    return dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, width=2, num_classes=CLASSES, crop=32),
        data=dataclasses.replace(
            recipe.data,
            root=str(root),
            train="several.txt" if several else "single.txt",
            val="several.txt" if several else "single.txt",
            # The shortest clip that the strides take, with whole groups of 4 frames in res3.
            clip_frames=32 if recipe.model.clip == "128x1" else 8,
            frame_stride=1,
            short_side_min=32,
            short_side_max=40,
            crop=32,
            workers=0,
            test_short_side=32,
            test_crop=32,
        ),
        optim=dataclasses.replace(recipe.optim, batch_size=2),
        schedule=dataclasses.replace(recipe.schedule, steps=2, milestones=()),
        trainer=dataclasses.replace(recipe.trainer, device="cpu", val_every=0, log_every=1, limit_val=1),
    )


@pytest.mark.parametrize("recipe", VIDEO_RECIPES, ids=lambda recipe: recipe.name)
def test_two_steps_of_every_recipe(recipe: VideoRecipe, videos: Path, tmp_path: Path) -> None:
    small = tiny(recipe, videos)
    before = build_model(small).state_dict()
    train_recipe(small, out=tmp_path, progress=False)
    losses = [row.loss for row in read_metrics(tmp_path / "metrics.csv") if row.split == "train"]
    assert len(losses) == 2
    # A fresh classifier says nothing: the first loss is that of a blind guess, nearly (with frozen BatchNorm less so).
    assert losses[0] == pytest.approx(math.log(2) if recipe.model.multi_label else math.log(CLASSES), abs=0.2)
    assert math.isfinite(losses[1])
    after = read_tensors(tmp_path / "last.ckpt")
    assert after.keys() == before.keys()
    moved = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert "head.projection.weight" in moved
    statistics = {name for name in moved if "running" in name}
    assert bool(statistics) != small.optim.freeze_bn
