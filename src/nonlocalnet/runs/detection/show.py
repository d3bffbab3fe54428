"""What `nonlocalnet inspect` says of a detector: what an image and the blocks cost."""

from __future__ import annotations

import dataclasses
from argparse import Namespace

import torch
from rich.console import Console
from rich.table import Table

from nonlocalnet.formats import CARD_KEY, OpenedFile
from nonlocalnet.models.detection import DetectorCost, detector_cost
from nonlocalnet.models.detection.card import DetectionCard
from nonlocalnet.runs.detection.card import labels_of, saved_recipe
from nonlocalnet.runs.detection.config import DetectionModelConfig, DetectionRecipe
from nonlocalnet.runs.detection.network import build_detector
from nonlocalnet.system.numeric import sizes_of


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
    console.print(f"multiply-adds of one {height} x {width} image:")
    cost = _cost(recipe, height, width)
    console.print(str(cost))
    if cost.blocks:
        other = None if recipe.model.subsample is not None else 2
        changed = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, subsample=other))
        share = 100 * _cost(changed, height, width).blocks_share
        named = "without subsampling" if other is None else "subsampled by 2"
        console.print(f"blocks {named}: {share:.1f}% more computation")


def show_file(console: Console, opened: OpenedFile, parsed: Namespace) -> None:
    """Print what the checkpoint of a detector holds, and what it costs.

    Args:
        console: Where to.
        opened: A checkpoint of a detection run.
        parsed: `input`, the size as in `show_recipe`, and `list_keys`: whether to list the name of every tensor.

    Raises:
        ValueError: Its card is not whole.
    """
    card = DetectionCard.from_plain(opened.content[CARD_KEY], path=opened.path)
    recipe, names = saved_recipe(card), list(labels_of(card).names.values())
    table = Table(title=opened.path, title_justify="left", show_header=False)
    table.add_row("architecture", card.architecture)
    table.add_row("recipe", recipe.name)
    table.add_row("classes", f"{len(names)}: {', '.join(names[:8])}{', ...' if names[8:] else ''}")
    if card.keypoint_names:
        table.add_row("keypoints", ", ".join(card.keypoint_names))
    console.print(table)
    if parsed.list_keys:
        for name in opened.tensors:
            console.print(name)
    show_recipe(console, recipe, model=recipe.model, size=parsed.input)


def _cost(recipe: DetectionRecipe, height: int, width: int) -> DetectorCost:
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    return detector_cost(detector, image_size=(height, width), detections=recipe.model.box_detections_per_img)


def _parse_size(text: str) -> tuple[int, int]:
    sizes = sizes_of(text, 2)
    if sizes is None:
        raise ValueError(f"--input must be height x width from 1 for a detector, such as 800x1333, got {text!r}")
    height, width = sizes
    return height, width
