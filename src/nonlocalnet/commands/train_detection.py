"""`nonlocalnet train RECIPE` for a recipe on images."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from nonlocalnet.commands.options.parsing import add_batch_size, make_parser, parse_with_recipe
from nonlocalnet.engine.train import is_first_process
from nonlocalnet.models.detection import DetectorCost, detector_cost
from nonlocalnet.recipes import detection_recipe
from nonlocalnet.runs.detection.config import DetectionRecipe
from nonlocalnet.runs.detection.network import build_detector
from nonlocalnet.runs.detection.test import train_detection_recipe


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet train RECIPE --data.root DIR ...`."""
    parser = make_parser(
        "train",
        "Train a detection recipe. Any of its fields can be overridden, --SECTION.FIELD VALUE or in a YAML file; "
        "torchrun or SLURM start it on several machines. With another batch size, the learning rate and the "
        "schedule follow by the linear rule, but for what is given.",
        usage="nonlocalnet train RECIPE --data.root DIR [options]",
    )
    parser.add_argument("--out", help="folder of the run, new or empty unless resumed; default: runs/RECIPE")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out from its last checkpoint")
    parser.add_argument(
        "--init", help="a detector's weights whose matching tensors start it, or a 2-D ResNet's for its trunk"
    )
    add_batch_size(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="show what an image and the blocks cost; read and write nothing"
    )
    parsed, recipe = parse_with_recipe(parser, argv, find=detection_recipe)
    if not is_first_process():  # of several, one speaks
        logging.getLogger("nonlocalnet").setLevel(logging.WARNING)
    console = Console(quiet=not is_first_process())
    if parsed.dry_run:
        _show_cost(console, recipe)
        return 0
    out = Path(parsed.out or f"runs/{recipe.name}")
    result = train_detection_recipe(recipe, out=out, resume=parsed.resume, init=parsed.init)
    console.print(f"{result.steps} steps done; last checkpoint: {result.last}", markup=False, highlight=False)
    if result.best is not None:
        quality = "keypoint AP" if recipe.model.has_keypoints else "mask AP"
        console.print(
            f"best validation {quality}: {result.best_quality:.1f}%, in {result.best}", markup=False, highlight=False
        )
    return 0


def _show_cost(console: Console, recipe: DetectionRecipe) -> None:
    """Multiply-adds part by part, and what the blocks would cost with the other choice of subsampling."""
    height, width = recipe.data.min_sizes[-1], recipe.data.max_size
    schedule = recipe.schedule.resolved(batch_size=recipe.optim.batch_size)
    console.print(
        f"{recipe.name}: {schedule.steps} steps of {recipe.optim.batch_size} images, learning rate "
        f"{recipe.optim.resolved().lr:g}; multiply-adds of one {height} x {width} image:",
        highlight=False,
    )
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
