"""What a run would do and need, without starting it."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from rich.console import Console
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nonlocalnet.engine.devices import choose_device
from nonlocalnet.engine.machine import settled
from nonlocalnet.engine.needs import show_needs, step_needs
from nonlocalnet.engine.optim import freeze
from nonlocalnet.runs.detection.config import DetectionRecipe
from nonlocalnet.runs.detection.network import build_detector, parts_of, set_sizes
from nonlocalnet.runs.detection.show import show_recipe
from nonlocalnet.runs.detection.start import start_detector
from nonlocalnet.runs.detection.trial import RandomStep, TrainedParts

_DIVISIBLE = 32  # torchvision pads a batch to a multiple of this


def check_start(recipe: DetectionRecipe, *, init: str | Path, init_anyway: bool) -> None:
    """Start a detector from a file as `train_recipe` would, and forget it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The detector cannot start from it.
    """
    start_detector(build_detector(recipe, pretrained=False), init, anyway=init_anyway)


def show_plan(console: Console, recipe: DetectionRecipe) -> None:
    """Print a run's length, its detector, and what a step of the largest images needs; nothing is read or written.

    Raises:
        ValueError: A setting is wrong, as in training.
    """
    device = choose_device(recipe.trainer.device)
    recipe = settled(recipe, device)
    sides = (recipe.data.min_sizes[-1], recipe.data.max_size)
    height, width = (math.ceil(side / _DIVISIBLE) * _DIVISIBLE for side in sides)
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    for norm in freeze(detector, recipe.optim, parts_of(detector)):
        norm.eval()
    counted = TrainedParts(detector, (height, width))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        counted(torch.empty(1, 3, height, width, device="meta"))

    def tried() -> nn.Module:
        made = build_detector(recipe, pretrained=False)
        freeze(made, recipe.optim, parts_of(made))
        if device.type != "cuda":
            return TrainedParts(made, (height, width))
        set_sizes(made, (sides[0],), max_size=sides[1])
        return RandomStep(made, keypoints=recipe.model.num_keypoints if recipe.model.has_keypoints else None)

    needs = step_needs(
        recipe,
        device,
        counted=counted,
        tried=tried,
        shape=(3, height, width),
        flops=counter.get_total_flops() // 2,
        item="image",
        smaller="raise optim.accumulate",
    )
    console.print(
        f"{recipe.name}: {recipe.schedule.steps} steps of {recipe.optim.batch_size} images, learning rate "
        f"{recipe.optim.lr:g}",
    )
    show_recipe(console, recipe, model=recipe.model, size=None)
    show_needs(console, recipe, needs, item="image", reading="reading images")
