"""The images of a run: its annotation files, and the loaders over them."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from torch.utils.data import DataLoader

from nonlocalnet.data.coco.annotation_file import ANNOTATION_FILES, load_coco
from nonlocalnet.data.coco.datasets import TestImages, collate
from nonlocalnet.data.coco.records import CocoSet, Kind
from nonlocalnet.data.coco.targets import is_trainable, trainable_annotations
from nonlocalnet.engine.loaders import make_loader, spread_evenly
from nonlocalnet.runs.detection.config import DetectionRecipe

if TYPE_CHECKING:
    from nonlocalnet.runs.detection.task import EvaluationSet

log = logging.getLogger(__name__)


def load_images(recipe: DetectionRecipe, split: Literal["train", "val"]) -> CocoSet:
    """Read one of the recipe's annotation files.

    Raises:
        ValueError: If `data.root` is not set, or the file is not what the detector needs.
        FileNotFoundError: If the file or one of its images does not exist.
    """
    data = recipe.data
    if data.root is None:
        raise ValueError("data.root is not set: give the folder in COCO's layout, --data.root DIR")
    kind: Kind = "keypoints" if recipe.model.has_keypoints else "masks"
    given = data.train_annotations if split == "train" else data.val_annotations
    source = Path(data.root) / (given or f"annotations/{ANNOTATION_FILES[kind]}_{split}2017.json")
    folder = Path(data.root) / (data.train_images if split == "train" else data.val_images)
    log.info("reading %s", source)
    images = load_coco(source, images=folder, kind=kind)
    keypoints = len(images.keypoint_names)
    if kind == "keypoints" and images.content.annotated and keypoints != recipe.model.num_keypoints:
        raise ValueError(
            f"{source} has {keypoints} keypoints, but the detector {recipe.model.num_keypoints}: "
            "set model.num_keypoints"
        )
    kept = tuple(images.images[i] for i in spread_evenly(len(images.images), data.limit))
    return dataclasses.replace(images, images=kept)


def count_classes(recipe: DetectionRecipe) -> int | None:
    """None: the categories of COCO's files keep their ids, of which there are more than categories."""
    del recipe
    return None


def count_training(recipe: DetectionRecipe) -> int:
    """How many images a training has.

    Raises:
        ValueError, FileNotFoundError: As `load_images`, or an annotation cannot be trained on.
    """
    images = load_images(recipe, "train")
    images.require_annotations()
    return sum(is_trainable(kept, images.kind) for kept in trainable_annotations(images.images))


def build_test_loader(recipe: DetectionRecipe, evaluation: EvaluationSet, *, rank: int, world_size: int) -> DataLoader:
    """Loader over one process's share of the images, one at a time.

    In a batch of several an image's padding, and so its detections, would depend on the others, and these on the number
    of processes.
    """
    share = TestImages(evaluation.images, positions=evaluation.positions, rank=rank, world_size=world_size)
    return make_loader(share, workers=recipe.data.workers, batch_size=1, collate_fn=collate)
