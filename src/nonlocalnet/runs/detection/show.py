"""What `nonlocalnet inspect` says of a detector: what an image and the blocks cost."""

from __future__ import annotations

import dataclasses
import re

import torch
from rich.console import Console

from nonlocalnet.models.detection import DetectorCost, detector_cost
from nonlocalnet.runs.detection.config import DetectionModelConfig, DetectionRecipe
from nonlocalnet.runs.detection.network import build_detector


def show_recipe(console: Console, recipe: DetectionRecipe, *, model: DetectionModelConfig, size: str | None) -> None:
    """Print multiply-adds part by part, and what the blocks would cost with the other choice of subsampling.

    Args:
        console: Where to.
        recipe: The recipe; its weights are not needed.
        model: Its detector, perhaps with other fields.
        size: The image's height x width, such as 800x1333; None for the largest that is trained on.
    """
    recipe = dataclasses.replace(recipe, model=model)
    height, width = (recipe.data.min_sizes[-1], recipe.data.max_size) if size is None else _parse_size(size)
    console.print(f"multiply-adds of one {height} x {width} image:", highlight=False)
    cost = _cost(recipe, height, width)
    console.print(str(cost), highlight=False)
    if cost.blocks:
        other = None if recipe.model.subsample is not None else 2
        changed = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, subsample=other))
        share = 100 * _cost(changed, height, width).blocks_share
        named = "without subsampling" if other is None else "subsampled by 2"
        console.print(f"blocks {named}: {share:.1f}% more computation", highlight=False)


def _cost(recipe: DetectionRecipe, height: int, width: int) -> DetectorCost:
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    return detector_cost(detector, image_size=(height, width), detections=recipe.model.box_detections_per_img)


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise ValueError(f"--input must be height x width for a detector, such as 800x1333, got {text!r}")
    height, width = (int(part) for part in match.groups())
    return height, width
