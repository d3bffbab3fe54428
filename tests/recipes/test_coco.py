"""Every row of Tables 5 and 6, its detector, and the schedules."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
import torch
from torchvision.ops import FrozenBatchNorm2d

from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.recipes import DETECTION_RECIPES, RECIPES, any_recipe, detection_recipe
from nonlocalnet.runs.detection.config import (
    DetectionDataConfig,
    DetectionModelConfig,
    DetectionOptimConfig,
    DetectionRecipe,
    DetectionScheduleConfig,
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
    names = [recipe.name for recipe in (*RECIPES, *DETECTION_RECIPES)]
    assert len(set(names)) == len(names)
    for recipe in DETECTION_RECIPES:
        assert detection_recipe(recipe.name) is any_recipe(recipe.name) is recipe
        assert bool(recipe.tables) == bool(recipe.published) == bool(recipe.source)
        assert recipe.row
    with pytest.raises(ValueError, match="there is no recipe 'coco_mask_r50_nonlocal'; did you mean coco_mask_r50_nl"):
        any_recipe("coco_mask_r50_nonlocal")


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
    optim = recipe.optim.resolved()
    schedule = recipe.schedule.resolved(batch_size=optim.batch_size)
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
    assert DetectionOptimConfig(batch_size=2).resolved().lr == pytest.approx(0.0025)
    assert DetectionOptimConfig(batch_size=2, lr=0.1).resolved().lr == 0.1
    twice = DetectionScheduleConfig(length="2x")
    assert twice.resolved(batch_size=16).milestones == (120_000, 160_000)
    assert twice.resolved(batch_size=4).steps == 720_000
    own = DetectionScheduleConfig(steps=7, milestones=(3,)).resolved(batch_size=4)
    assert (own.steps, own.milestones) == (7, (3,))


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
        (lambda: DetectionOptimConfig(lr=-1), "optim.lr must be a finite number"),
        (
            lambda: DetectionScheduleConfig(milestones=(5, 4)),
            "schedule.milestones must be steps above 0 in rising order",
        ),
        (
            lambda: DetectionRecipe("x", optim=DetectionOptimConfig(batch_size=3, accumulate=2)),
            "optim.batch_size must be a multiple of",
        ),
    ],
)
def test_settings_out_of_range(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
