from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import jsonargparse
import pytest
import torch

from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig, require_equal_shares
from nonlocalnet.runs.video.config import DataConfig, ModelConfig, VideoRecipe
from nonlocalnet.runs.video.data import clip_geometry
from nonlocalnet.runs.video.network import build_model

SECTIONS = {
    "model": ModelConfig,
    "data": DataConfig,
    "optim": OptimConfig,
    "schedule": ScheduleConfig,
    "trainer": TrainerConfig,
}

BAD = [
    ("model", {"num_classes": 0}, r"model\.num_classes must be at least 1, got 0"),
    ("model", {"width": 0}, r"model\.width must be at least 1, got 0"),
    ("model", {"crop": 31}, r"model\.crop must be at least 32, got 31"),
    ("model", {"dropout": 1.0}, r"model\.dropout must be in \[0, 1\), got 1\.0"),
    ("model", {"nonlocal_blocks": 3}, r"model\.nonlocal_blocks must be 0, 1, 5, 10 or a list"),
    ("model", {"nonlocal_blocks": ["res4.9"]}, r"model\.nonlocal_blocks names 'res4\.9', but res4 of ResNet-50 ends"),
    ("model", {"nonlocal_blocks": ["res4"]}, r"model\.nonlocal_blocks names 'res4', which is no residual block"),
    ("model", {"variant": "paper", "clip": "8x8"}, r"model\.variant='paper' has no clip='8x8'"),
    ("model", {"inner_channels": 0}, r"model\.inner_channels"),
    ("model", {"temporal_group_frames": 0}, r"model\.temporal_group_frames"),
    ("data", {"clip_frames": 0}, r"data\.clip_frames must be at least 1, got 0"),
    ("data", {"frame_stride": 0}, r"data\.frame_stride"),
    ("data", {"limit": 0}, r"data\.limit must be at least 1"),
    ("data", {"workers": -1}, r"data\.workers must be at least 0, got -1"),
    ("data", {"short_side_max": 255}, r"data\.short_side_max must be at least data\.short_side_min = 256, got 255"),
    ("data", {"crop": 257}, r"data\.crop must be at most data\.short_side_min = 256, got 257"),
    ("data", {"test_crop": 300}, r"data\.test_short_side must be at least data\.test_crop = 300, got 256"),
    ("data", {"flip": 1.5}, r"data\.flip must be a finite number in \[0, 1\], got 1\.5"),
    ("data", {"test_batch_views": 0}, r"data\.test_batch_views"),
    ("data", {"max_unreadable": 1.5}, r"data\.max_unreadable must be a finite number in \[0, 1\], got 1\.5"),
    ("optim", {"lr": 0.0}, r"optim\.lr must be a finite number in \(0, 1e\+06\], got 0\.0"),
    ("optim", {"lr": "0.1"}, r"optim\.lr must be a finite number .* got '0\.1'"),
    ("optim", {"lr": True}, r"optim\.lr must be a finite number .* got True"),
    ("trainer", {"checkpoint_every": [1]}, r"trainer\.checkpoint_every must be at least .*, got \[1\]"),
    ("optim", {"lr": float("nan")}, r"optim\.lr must be a finite number .* got nan"),
    ("optim", {"momentum": 1.0}, r"optim\.momentum must be in \[0, 1\)"),
    ("optim", {"momentum": 0.0}, r"optim\.momentum must be above 0 with optim\.nesterov"),
    ("optim", {"weight_decay": -1.0}, r"optim\.weight_decay"),
    ("optim", {"batch_size": 0}, r"optim\.batch_size"),
    ("optim", {"accumulate": 0}, r"optim\.accumulate"),
    ("optim", {"grad_clip": 0.0}, r"optim\.grad_clip"),
    ("schedule", {"steps": 0}, r"schedule\.steps must be at least 1"),
    ("schedule", {"milestones": (5, 5)}, r"schedule\.milestones must be steps above 0 in rising order, got \(5, 5\)"),
    ("schedule", {"gamma": 0.0}, r"schedule\.gamma"),
    ("schedule", {"warmup_factor": 0.0}, r"schedule\.warmup_factor"),
    ("trainer", {"seed": -1}, r"trainer\.seed must be in \[0, 2\*\*63\), got -1"),
    ("trainer", {"devices": 0}, r"trainer\.devices"),
    ("trainer", {"val_every": -1}, r"trainer\.val_every"),
    ("trainer", {"limit_val": 0}, r"trainer\.limit_val"),
]


@pytest.mark.parametrize(("section", "values", "message"), BAD)
def test_out_of_range_fields_are_refused_by_name(section: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SECTIONS[section](**values)


def test_fields_that_do_not_go_together() -> None:
    with pytest.raises(ValueError, match=r"optim\.batch_size must be a multiple of .* = 12, got 64"):
        require_equal_shares(
            VideoRecipe("x", optim=OptimConfig(accumulate=3), trainer=TrainerConfig(devices=2, num_nodes=2))
        )
    with pytest.raises(ValueError, match=r"data\.short_side_min must be at least the crop of 288, got 256"):
        VideoRecipe("x", model=ModelConfig(crop=288))


@pytest.mark.parametrize(
    ("clip", "values", "message"),
    [
        ("32x2", {"clip_frames": 6}, r"data\.clip_frames must be at least 7 for .*model\.clip='32x2', got 6"),
        ("8x8", {"clip_frames": 1}, r"data\.clip_frames must be at least 2 for .*model\.clip='8x8', got 1"),
        ("32x2", {"crop": 4}, r"data\.crop must be at least 5 for the strides of model\.variant='release'"),
        ("32x2", {"test_crop": 4}, r"data\.test_crop must be at least 5 for .*, got 4"),
        (
            "32x2",
            {"test_crops": "full", "test_short_side": 4},
            r"data\.test_short_side must be at least 5 for .*, got 4",
        ),
    ],
)
def test_clips_too_small_for_the_network_are_refused(clip: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VideoRecipe("x", model=ModelConfig(clip=clip), data=DataConfig(**values))


@pytest.mark.parametrize(
    "recipe",
    [
        VideoRecipe("x", model=ModelConfig(width=2), data=DataConfig(clip_frames=7, crop=5, test_crop=5)),
        VideoRecipe(
            "x", model=ModelConfig(width=2), data=DataConfig(test_crops="full", test_short_side=5, test_crop=1)
        ),
        VideoRecipe("x", model=ModelConfig(width=2, clip="8x8"), data=DataConfig(clip_frames=2)),
        VideoRecipe("x", model=ModelConfig(width=2, variant="paper"), data=DataConfig(clip_frames=1)),
    ],
    ids=["7 frames of 5", "full frames of 5", "8x8 of 2", "the paper's of 1"],
)
def test_the_smallest_clips_that_the_network_takes(recipe: VideoRecipe) -> None:
    """Not refused, and every layer of the network has a position for them."""
    data = recipe.data
    tested = data.test_short_side if data.test_crops == "full" else data.test_crop
    with torch.device("meta"):
        model = build_model(recipe)
        for side in (data.crop or recipe.model.crop, tested):
            logits = model(torch.empty(2, 3, clip_geometry(recipe).frames, side, side))
            assert logits.shape == (2, recipe.model.num_classes)


def test_defaults_are_the_papers() -> None:
    recipe = VideoRecipe("x")
    assert (recipe.optim.lr, recipe.optim.momentum, recipe.optim.weight_decay) == (0.01, 0.9, 1e-4)
    assert (recipe.optim.batch_size, recipe.schedule.steps) == (64, 400_000)
    assert (recipe.schedule.milestones, recipe.schedule.gamma) == ((150_000, 300_000), 0.1)
    assert (recipe.data.short_side_min, recipe.data.short_side_max, recipe.model.crop) == (256, 320, 224)
    assert (recipe.data.flip, recipe.model.dropout, recipe.data.test_clips) == (0.5, 0.5, 10)


def parser() -> jsonargparse.ArgumentParser:
    made = jsonargparse.ArgumentParser(exit_on_error=False)
    for name, section in SECTIONS.items():
        made.add_class_arguments(section, name)
    return made


def test_a_parser_can_be_built_and_every_field_has_help() -> None:
    text = parser().format_help()
    for name, section in SECTIONS.items():
        for field in dataclasses.fields(section):
            assert f"--{name}.{field.name}" in text
            # Python 3.13 takes the indentation out of docstrings; before it the lines keep theirs.
            described = inspect.cleandoc(section.__doc__ or "").split(f"\n    {field.name}: ")
            assert len(described) == 2, f"{name}.{field.name} has no help"


def test_unions_parse() -> None:
    arguments = [
        *("--model.nonlocal_blocks", "[res3.1,res4.4]", "--model.scale", "0.5", "--model.norm", "null"),
        *("--model.subsample", "[1,2,2]", "--model.subsample_first", "true", "--schedule.milestones", "[3,5]"),
    ]
    parsed = parser().parse_args(arguments)
    model = ModelConfig(**parsed.model.as_dict())
    assert (model.nonlocal_blocks, model.scale, model.norm) == (["res3.1", "res4.4"], 0.5, None)
    assert (model.subsample, model.subsample_first) == ((1, 2, 2), True)
    assert ScheduleConfig(**parsed.schedule.as_dict()).milestones == (3, 5)
    assert ModelConfig(**parser().parse_args([]).model.as_dict()) == ModelConfig()


@pytest.mark.parametrize("argument", ["--model.widht=3", "--optim.lr=fast", "--model.pairwise=cosine"])
def test_misspelt_fields_and_values_are_refused(argument: str) -> None:
    with pytest.raises(jsonargparse.ArgumentError, match=argument.split("=")[0].lstrip("-")):
        parser().parse_args([argument])
