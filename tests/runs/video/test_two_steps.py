"""Every recipe reads videos, builds its network and makes two steps of training at tiny width."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from make_videos import write_video
from nonlocalnet.data.clips.transforms import normalise
from nonlocalnet.engine.config import Recipe
from nonlocalnet.engine.optim import build_optimizer, freeze
from nonlocalnet.recipes import RECIPES
from nonlocalnet.runs.video.train import build_model, build_train_loader, build_train_videos, load_videos

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


def tiny(recipe: Recipe, root: Path) -> Recipe:
    """The recipe with everything that costs time made small, and nothing else."""
    several = recipe.model.multi_label
    return dataclasses.replace(
        recipe,
        model=dataclasses.replace(recipe.model, width=2, num_classes=CLASSES, crop=32),
        data=dataclasses.replace(
            recipe.data,
            root=str(root),
            train="several.txt" if several else "single.txt",
            # The shortest clip that the strides take, with whole groups of 4 frames in res3.
            clip_frames=32 if recipe.model.clip == "128x1" else 8,
            frame_stride=1,
            short_side_min=32,
            short_side_max=40,
            crop=32,
            workers=0,
        ),
        optim=dataclasses.replace(recipe.optim, batch_size=2),
    )


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_two_steps_of_every_recipe(recipe: Recipe, videos: Path) -> None:
    small = tiny(recipe, videos)
    model = build_model(small).train()
    for norm in freeze(model, small.optim):
        norm.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = build_optimizer(model, small.optim)
    loader = build_train_loader(small, build_train_videos(small, load_videos(small, "train")), stop_step=2)
    losses = []
    for batch in loader:
        logits = model(normalise(batch["frames"]))
        several = recipe.model.multi_label
        loss = (
            F.binary_cross_entropy_with_logits(logits, batch["label"])
            if several
            else F.cross_entropy(logits, batch["label"])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert len(losses) == 2
    # A fresh classifier says nothing: the first loss is that of a blind guess, nearly.
    assert losses[0] == pytest.approx(math.log(2) if recipe.model.multi_label else math.log(CLASSES), abs=0.1)
    assert math.isfinite(losses[1])
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert "head.projection.weight" in moved
    statistics = {name for name in moved if "running" in name}
    assert bool(statistics) != small.optim.freeze_bn
