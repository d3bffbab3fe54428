"""What the command line may say of a run on images and of its weights, beside the fields of the recipe."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from typing import Any

from nonlocalnet.runs.detection.config import LENGTHS, DetectionRecipe


def add_train_options(parser: ArgumentParser) -> None:
    """Add what `apply_options` reads."""
    parser.add_argument(
        "--schedule.length",
        choices=tuple(LENGTHS),
        help="short for the steps, milestones and warm-up of Mask R-CNN's schedules: 90k or 180k steps of 16 images",
    )


def train_arguments(parsed: Namespace) -> dict[str, Any]:
    """Arguments of `train_recipe`: none."""
    del parsed
    return {}


def add_test_options(parser: ArgumentParser) -> None:
    """Add what a test takes beside the recipe: nothing."""
    del parser


def weights_arguments(parsed: Namespace) -> dict[str, Any]:
    """Arguments of `open_weights`: none."""
    del parsed
    return {}


def test_arguments(parsed: Namespace) -> dict[str, Any]:
    """Arguments of `test_recipe`: none."""
    del parsed
    return {}


def apply_options(recipe: DetectionRecipe, parsed: Namespace) -> DetectionRecipe:
    """The recipe with what `--schedule.length` stands for."""
    length = getattr(parsed.schedule, "length", None)
    return recipe if length is None else replace(recipe, schedule=LENGTHS[length])
