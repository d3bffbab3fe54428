"""Every row of Tables 5 and 6, its detector, and the schedules."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
import torch
from torchvision.ops import FrozenBatchNorm2d

from nonlocalnet.engine.config import TrainerConfig
from nonlocalnet.engine.scaling import scale_to_batch_size
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.recipes import DETECTION_RECIPES, RECIPES, detection_recipe
from nonlocalnet.recipes import recipe as find_recipe
from nonlocalnet.runs.detection.config import (
    LENGTHS,
    OPTIM,
    DetectionDataConfig,
    DetectionModelConfig,
    DetectionRecipe,
    recipe_from_plain,
)
from nonlocalnet.runs.detection.network import build_detector

# Box AP, AP50, AP75 and mask AP, AP50, AP75; keypoint AP, AP50, AP75: as the paper prints them.
PUBLISHED = {
    "5": [
        (38.0, 59.6, 41.0, 34.6, 56.4, 36.5),
        (39.0, 61.1, 41.9, 35.5, 58.0, 37.4),
        (39.5, 61.4, 42.9, 36.0, 58.1, 38.3),
        (40.8, 63.1, 44.5, 37.1, 59.9, 39.2),
        (44.1, 66.4, 48.4, 39.7, 63.2, 42.2),
        (45.0, 67.8, 48.9, 40.3, 64.4, 42.8),
    ],
    "6": [(65.1, 86.8, 70.4), (66.0, 87.1, 71.7), (66.5, 87.3, 72.8)],
}
COCO = [recipe for recipe in DETECTION_RECIPES if recipe.tables]


@pytest.mark.parametrize("table", PUBLISHED)
def test_tables_hold_the_papers_rows(table: str) -> None:
    rows = [tuple(r.published.values()) for r in COCO if table in r.tables]
    assert Counter(rows) == Counter(PUBLISHED[table])
    keys = ("box_ap", "box_ap50", "box_ap75", "mask_ap", "mask_ap50", "mask_ap75")
    if table == "6":
        keys = ("keypoint_ap", "keypoint_ap50", "keypoint_ap75")
    assert {tuple(r.published) for r in COCO if table in r.tables} == {keys}


def test_names_are_unique_and_found() -> None:
    names = [recipe.name for recipe in RECIPES]
    assert len(set(names)) == len(names)
    for recipe in DETECTION_RECIPES:
        assert detection_recipe(recipe.name) is find_recipe(recipe.name) is recipe
        assert bool(recipe.tables) == bool(recipe.published) == bool(recipe.source)
        assert recipe.row
    with pytest.raises(ValueError, match="there is no recipe 'coco_mask_r50_nonlocal'; did you mean coco_mask_r50_nl"):
        find_recipe("coco_mask_r50_nonlocal")


@pytest.mark.parametrize("recipe", COCO, ids=lambda r: r.name)
def test_every_row_is_its_detector(recipe: DetectionRecipe) -> None:
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    model = recipe.model
    expected = model.nonlocal_backbone + 4 * model.nonlocal_head
    assert len(nonlocal_blocks(detector)) == expected
    assert ("_nl" in recipe.name) == (expected > 0)
    # Trained as Mask R-CNN: BatchNorm fixed, and everything above res2 with gradients.
    assert any(isinstance(m, FrozenBatchNorm2d) for m in detector.modules())
    trained = {name for name, p in detector.backbone.body.named_parameters() if p.requires_grad}
    assert {name.partition(".")[0] for name in trained} == {"layer2", "layer3", "layer4"}
    optim, schedule = recipe.optim, recipe.schedule
    assert (optim.lr, optim.batch_size, optim.nesterov, optim.weight_decay) == (0.02, 16, False, 1e-4)
    assert (schedule.steps, schedule.milestones, schedule.warmup_steps) == (90_000, (60_000, 80_000), 500)


def test_the_generated_rows_differ_in_the_blocks_alone() -> None:
    plain = detection_recipe("farkeypoint")
    for name in ("farkeypoint_control", "farkeypoint_head", "farkeypoint_nl"):
        other = detection_recipe(name)
        blocks = {key: getattr(other.model, key) for key in ("nonlocal_backbone", "nonlocal_head", "control")}
        model = dataclasses.replace(plain.model, **blocks)
        assert dataclasses.replace(plain, name=other.name, row=other.row, model=model) == other


def test_the_linear_rule() -> None:
    recipe = DetectionRecipe("x")
    assert scale_to_batch_size(recipe, 2).optim.lr == pytest.approx(0.0025)
    twice = dataclasses.replace(recipe, schedule=LENGTHS["2x"])
    assert twice.schedule.milestones == (120_000, 160_000)
    assert scale_to_batch_size(twice, 4).schedule.steps == 720_000


def older(recipe: DetectionRecipe, **sections: dict[str, object]) -> dict[str, object]:
    """The plain form in which runs were saved before they held the engine's sections."""
    plain = dataclasses.asdict(recipe)
    for name in ("nesterov", "bn_weight_decay", "trainable", "lr_factor_head", "freeze_bn"):
        del plain["optim"][name]
    for name in ("channels_last", "compile", "recompute"):
        del plain["trainer"][name]
    plain["trainer"]["limit_val_images"] = plain["trainer"].pop("limit_val")
    plain["schedule"]["length"] = "1x"
    return {
        name: {**value, **sections.get(name, {})} if isinstance(value, dict) else value for name, value in plain.items()
    }


def test_older_runs_are_read() -> None:
    base = DetectionRecipe("x")
    unset = {"schedule": {"steps": None, "milestones": None}, "optim": {"lr": None}}
    assert recipe_from_plain(older(base, **unset)) == base
    read = recipe_from_plain(
        older(base, optim={"lr": None, "batch_size": 2}, schedule={"length": "2x", "steps": None, "milestones": (3,)})
    )
    assert (read.optim.lr, read.optim.batch_size, read.optim.nesterov) == (0.0025, 2, False)
    assert (read.schedule.steps, read.schedule.milestones, read.schedule.warmup_steps) == (1_440_000, (3,), 500)
    own = recipe_from_plain(older(base, optim={"lr": 0.1}, schedule={"steps": 7}, trainer={"limit_val_images": 5}))
    assert (own.optim.lr, own.schedule.steps, own.trainer.limit_val) == (0.1, 7, 5)
    assert recipe_from_plain(dataclasses.asdict(own)) == own


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DetectionModelConfig(nonlocal_head=True), "model.nonlocal_head must be false for a detector without"),
        (lambda: DetectionModelConfig(control=True), "model.control must be false without nonlocal_backbone or"),
        (lambda: DetectionModelConfig(num_classes=1), "model.num_classes must be at least 2"),
        (lambda: DetectionDataConfig(min_sizes=()), "data.min_sizes"),
        (lambda: DetectionDataConfig(min_sizes=(1400,)), r"from 1 to data.max_size = 1333, got \[1400\]"),
        (lambda: DetectionDataConfig(flip=1.5), r"data.flip must be in \[0, 1\], got 1.5"),
        (lambda: DetectionDataConfig(keypoint_sigmas=(0.0,)), "data.keypoint_sigmas must be positive numbers"),
        (lambda: dataclasses.replace(OPTIM, lr=-1), "optim.lr must be a finite number"),
        (
            lambda: dataclasses.replace(LENGTHS["1x"], milestones=(5, 4)),
            "schedule.milestones must be steps above 0 in rising order",
        ),
        (
            lambda: DetectionRecipe("x", optim=dataclasses.replace(OPTIM, batch_size=3, accumulate=2)),
            "optim.batch_size must be a multiple of",
        ),
        (
            lambda: DetectionRecipe("x", trainer=TrainerConfig(recompute=True)),
            "trainer.recompute must be False for a detector, got True",
        ),
        (
            lambda: DetectionRecipe("x", optim=dataclasses.replace(OPTIM, trainable="head")),
            "optim.trainable must be 'all' for a detector, got 'head'",
        ),
    ],
)
def test_settings_out_of_range(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
