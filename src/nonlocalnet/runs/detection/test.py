"""A detection recipe becomes a detector, its loaders, a training and a test."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
from torch.utils.data import DataLoader

from nonlocalnet import formats
from nonlocalnet.data.coco.annotation_file import ANNOTATION_FILES, CocoSet, Kind, load_coco
from nonlocalnet.data.coco.aspect_batches import AspectRatioBatchSampler
from nonlocalnet.data.coco.datasets import TestImages, TrainImages, collate
from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.engine.loaders import MicroBatches, make_loader, spread_evenly
from nonlocalnet.engine.output import prepare_output
from nonlocalnet.engine.resume import start_step_of
from nonlocalnet.engine.train import TrainResult, choose_device, is_first_process
from nonlocalnet.models.detection.card import DetectionCard
from nonlocalnet.runs.detection.coco_eval import CocoFigures
from nonlocalnet.runs.detection.coco_results import IouType
from nonlocalnet.runs.detection.config import DetectionRecipe
from nonlocalnet.runs.detection.network import (
    build_detector,
    initialise_detector,
    labels_of,
    open_detector,
    saved_recipe,
    set_sizes,
)
from nonlocalnet.runs.detection.report import write_detection_report
from nonlocalnet.runs.detection.task import DetectionRecord, EvaluationSet
from nonlocalnet.runs.detection.train import test_detector, train_detector
from nonlocalnet.system.files import write_atomically

log = logging.getLogger(__name__)

# May differ between a run and its resumption: none of them changes what a training step computes.
_FREE_ON_RESUME = {
    "model": {"weights", "weights_backbone", "box_score_thresh", "box_detections_per_img"},
    "data": {"root", "val_images", "val_annotations", "test_min_size", "keypoint_sigmas", "evaluator", "workers"},
    "schedule": {"steps", "length"},
    "trainer": {
        "device",
        "devices",
        "num_nodes",
        "strategy",
        "val_every",
        "checkpoint_every",
        "log_every",
        "limit_val_images",
    },
}


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
    if kind == "keypoints" and keypoints != recipe.model.num_keypoints:
        raise ValueError(
            f"{source} has {keypoints} keypoints, but the detector {recipe.model.num_keypoints}: "
            "set model.num_keypoints"
        )
    kept = tuple(images.images[i] for i in spread_evenly(len(images.images), data.limit))
    return dataclasses.replace(images, images=kept)


def evaluation_set(recipe: DetectionRecipe, images: CocoSet, labels: Labels, *, limit: int | None) -> EvaluationSet:
    """What the detections on these images are compared with."""
    return EvaluationSet(
        images,
        positions=spread_evenly(len(images.images), limit),
        category_ids=labels.category_ids,
        evaluator=recipe.data.evaluator,
        keypoint_sigmas=recipe.data.keypoint_sigmas,
    )


def build_train_loader(
    recipe: DetectionRecipe, dataset: TrainImages, *, start_step: int, stop_step: int, rank: int, world_size: int
) -> DataLoader:
    """Loader over the micro-batches of the steps [start_step, stop_step) for one process.

    The batches are a function of `trainer.seed` and the step, whatever the workers and processes.
    """
    sampler = AspectRatioBatchSampler(
        dataset.is_wide,
        global_batch_size=recipe.optim.batch_size,
        total_steps=stop_step,
        start_step=start_step,
        seed=recipe.trainer.seed,
        rank=rank,
        world_size=world_size,
    )
    batches = MicroBatches(sampler, parts=recipe.optim.accumulate)
    return make_loader(dataset, workers=recipe.data.workers, batch_sampler=batches, collate_fn=collate)


def build_test_loader(recipe: DetectionRecipe, evaluation: EvaluationSet, *, rank: int, world_size: int) -> DataLoader:
    """Loader over one process's share of the images, one at a time.

    In a batch of several an image's padding, and so its detections, would depend on the others, and these on the number
    of processes.
    """
    share = TestImages(evaluation.images, positions=evaluation.positions, rank=rank, world_size=world_size)
    return make_loader(share, workers=recipe.data.workers, batch_size=1, collate_fn=collate)


def train_detection_recipe(
    recipe: DetectionRecipe,
    *,
    out: str | Path,
    resume: bool = False,
    init: str | Path | None = None,
    progress: bool = True,
    callbacks: Sequence[pl.Callback] = (),
) -> TrainResult[DetectionRecord]:
    """Train a detection recipe.

    Args:
        recipe: The run.
        out: Folder for its files (`nonlocalnet.engine.output` lists them); new or empty, unless resumed.
        resume: Continue the run in `out` from its last checkpoint; from the start where it has none yet.
        init: File whose matching tensors start the detector: a detector's, or a 2-D ResNet's for its trunk.
        progress: Show a progress bar on standard error.
        callbacks: Further Lightning callbacks.

    Returns:
        Where the checkpoints are and what the validation gave.

    Raises:
        ValueError: A setting or file is wrong; the message says which and what to do.
        FileNotFoundError: A file or image does not exist.
        OutputError: `out` cannot be used or written.
        NonFiniteError: A loss or weight is not finite; the checkpoints stay those of before.
        ImageError: An image cannot be read or does not fit its annotations.
    """
    out = Path(out)
    choose_device(recipe.trainer.device)
    train_images, val_images = load_images(recipe, "train"), load_images(recipe, "val")
    classes = recipe.model.num_classes
    labels = Labels.of_categories(train_images.categories, num_classes=classes, source=train_images.source)
    labels.require(val_images.categories, source=val_images.source)
    dataset = TrainImages(train_images, labels, flip=recipe.data.flip, seed=recipe.trainer.seed)
    start_step = start_step_of(recipe, out, free=_FREE_ON_RESUME) if resume else 0
    detector = build_detector(recipe, pretrained=start_step == 0 and init is None)
    if start_step == 0 and init is not None:
        initialise_detector(detector, init)
    elif start_step == 0 and recipe.model.frozen_bn and not (recipe.model.weights or recipe.model.weights_backbone):
        log.warning(
            "the trunk's weights are random and its BatchNorms fixed, so its features grow from block to block and the "
            "loss may not stay finite: give --init or model.weights_backbone, or set model.frozen_bn to false"
        )
    if is_first_process():
        prepare_output(out, resume=resume)
        write_atomically(out / "recipe.json", json.dumps(dataclasses.asdict(recipe), indent=2) + "\n")
    evaluation = evaluation_set(recipe, val_images, labels, limit=recipe.trainer.limit_val_images)
    log.info("training %s: %d images, %d to validate", recipe.name, len(dataset), len(evaluation.positions))
    return train_detector(
        detector,
        make_train_loader=partial(build_train_loader, recipe, dataset),
        make_val_loader=partial(build_test_loader, recipe, evaluation),
        evaluation=evaluation,
        optim=recipe.optim.resolved(),
        schedule=recipe.schedule.resolved(batch_size=recipe.optim.batch_size),
        trainer=recipe.trainer.resolved(),
        out=out,
        extra={formats.CARD_KEY: make_card(recipe, labels, train_images).plain()},
        start_step=start_step,
        resume_from=out / "last.ckpt" if start_step else None,
        progress=progress,
        callbacks=callbacks,
    )


def test_detection_recipe(
    recipe: DetectionRecipe,
    *,
    weights: str | Path,
    out: str | Path,
    progress: bool = True,  # noqa: PT028  not a test
) -> tuple[dict[IouType, CocoFigures], Labels]:
    """Test a detector's checkpoint on the validation images and write its results and figures.

    Args:
        recipe: Its `data` says which images; the detector comes from the checkpoint, its thresholds from the recipe.
        weights: A checkpoint of a detection run.
        out: Folder for the files of `nonlocalnet.runs.detection.report`; new or empty.
        progress: Show a progress bar on standard error.

    Returns:
        The figures of every kind of result, and the detector's labels.

    Raises:
        ValueError: A setting or file is wrong, or the file's categories are not the detector's.
        FileNotFoundError: A file or image does not exist.
        OutputError: `out` cannot be used or written.
    """
    out = Path(out)
    choose_device(recipe.trainer.device)
    detector, card = open_detector(weights)
    recipe = dataclasses.replace(recipe, model=saved_recipe(card).model)
    labels = labels_of(card)
    images = load_images(recipe, "val")
    labels.require(images.categories, source=images.source)
    set_sizes(detector, (recipe.data.test_min_size or recipe.data.min_sizes[-1],), max_size=recipe.data.max_size)
    if is_first_process():
        prepare_output(out, resume=False)
    evaluation = evaluation_set(recipe, images, labels, limit=None)
    figures, results = test_detector(
        detector,
        make_loader=partial(build_test_loader, recipe, evaluation),
        evaluation=evaluation,
        trainer=recipe.trainer.resolved(),
        out=out,
        progress=progress,
    )
    if is_first_process():
        about = {"images": len(evaluation.positions), "weights": str(weights), "recipe": dataclasses.asdict(recipe)}
        write_detection_report(out, figures, results, labels=labels, about=about)
    return figures, labels


def make_card(recipe: DetectionRecipe, labels: Labels, images: CocoSet) -> DetectionCard:
    """The card of a detection run's checkpoints: it rebuilds the detector and names its classes."""
    skeletons = [category.get("skeleton", []) for category in images.categories]
    return DetectionCard(
        architecture=recipe.model.architecture,
        recipe=dataclasses.asdict(recipe),
        labels=labels.plain(),
        keypoint_names=list(images.keypoint_names),
        skeleton=[[a - 1, b - 1] for a, b in skeletons[0]] if images.keypoint_names and skeletons else [],
    )
