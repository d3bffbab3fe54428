"""What the command line may say of a run on images and of its weights, beside the fields of the recipe."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import fields, replace
from typing import Any

from nonlocalnet.block import BlockOptions
from nonlocalnet.models.detection.names import has_keypoints
from nonlocalnet.runs.detection.config import LENGTHS, DetectionModelConfig, DetectionRecipe
from nonlocalnet.system.typed import refuse_typed, typed_as

TEST_FIELDS = {
    "data": {
        *("root", "val_images", "val_annotations", "limit", "workers"),
        *("min_sizes", "max_size", "test_min_size", "keypoint_sigmas", "evaluator"),
    },
    "trainer": {"device", "devices", "num_nodes", "strategy", "precision", "float32_matmul_precision"},
}
"""By section, the fields that a test reads; of `min_sizes` the last, where `test_min_size` is null."""

_OF_KEYPOINTS = ("model.num_keypoints", "data.flip_pairs", "data.keypoint_sigmas")
_OF_BLOCKS = [
    f"model.{field.name}" for field in fields(DetectionModelConfig) if field.name in BlockOptions.__dataclass_fields__
]


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
    """The recipe with what `--schedule.length` stands for.

    Raises:
        ValueError: An option was given that would do nothing; it is named.
    """
    refuse_idle(parsed)
    length = getattr(parsed.schedule, "length", None)
    if length is not None and typed_as(parsed, "schedule.steps") and typed_as(parsed, "schedule.milestones"):
        refuse_typed(parsed, ["schedule.length"], "beside schedule.steps and schedule.milestones, which say the length")
    return recipe if length is None else replace(recipe, schedule=LENGTHS[length])


def refuse_idle(parsed: Namespace) -> None:
    """Refuse fields of the detector that were given on the command line and that it does not read.

    Raises:
        ValueError: There is one; it is named.
    """
    if not (parsed.model.nonlocal_backbone or parsed.model.nonlocal_head):
        why = "without model.nonlocal_backbone or model.nonlocal_head: the detector has no block"
        refuse_typed(parsed, _OF_BLOCKS, why, in_files=False)
    if not has_keypoints(parsed.model.architecture):
        refuse_typed(parsed, _OF_KEYPOINTS, "on a detector without keypoints", in_files=False)
