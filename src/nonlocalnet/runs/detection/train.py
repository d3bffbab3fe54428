"""Training a recipe on images."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nonlocalnet import formats
from nonlocalnet.data.coco.aspect_batches import AspectRatioBatchSampler
from nonlocalnet.data.coco.datasets import TrainImages, collate
from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.engine.checkpoint import Checkpoints
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.engine.loaders import TrainLoaders, spread_evenly
from nonlocalnet.engine.machine import settled
from nonlocalnet.engine.resume import FREE_TRAINER_FIELDS, run_to_resume
from nonlocalnet.engine.run_folder import LAST, begin_run, require_free
from nonlocalnet.engine.train import TrainResult, run_steps
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.runs.detection.card import make_card, read_run
from nonlocalnet.runs.detection.config import DetectionRecipe
from nonlocalnet.runs.detection.data import build_test_loader, load_images
from nonlocalnet.runs.detection.network import build_detector
from nonlocalnet.runs.detection.start import start_detector
from nonlocalnet.runs.detection.task import DetectionRecord, DetectionTask, EvaluationSet

log = logging.getLogger(__name__)

# May differ between a run and its resumption: none of them changes what a training step computes.
_FREE_ON_RESUME = {
    "model": {"weights", "weights_backbone", "box_score_thresh", "box_detections_per_img"},
    "data": {"root", "val_images", "val_annotations", "test_min_size", "keypoint_sigmas", "evaluator", "workers"},
    "schedule": {"steps"},
    "trainer": FREE_TRAINER_FIELDS,
}


def train_recipe(
    recipe: DetectionRecipe,
    *,
    out: str | Path,
    resume: bool = False,
    init: str | Path | None = None,
    init_anyway: bool = False,
    progress: bool = True,
    callbacks: Sequence[pl.Callback] = (),
) -> TrainResult[DetectionRecord]:
    """Train a recipe on images.

    Args:
        recipe: The run.
        out: Folder for its files (`nonlocalnet.engine.run_folder` lists them); new or empty, unless resumed.
        resume: Continue the run in `out` from its last checkpoint; from the start where it has none yet.
        init: File whose matching tensors start the detector: a detector's, or a 2-D ResNet's for its trunk.
        init_anyway: Start from `init` although its blocks or norms compute something else than this detector's.
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
    require_free(out, resume=resume)
    recipe = settled(recipe, choose_device(recipe.trainer.device))
    images = load_images(recipe, "train")
    labels = Labels.of_categories(images.categories, num_classes=recipe.model.num_classes, source=images.source)
    data, seed = recipe.data, recipe.trainer.seed
    dataset = TrainImages(images, labels, flip=data.flip, flip_pairs=data.flip_pairs, seed=seed)
    evaluation = _evaluation(recipe, labels)
    saved = run_to_resume(recipe, out, read=read_run, free=_FREE_ON_RESUME) if resume else None
    start_step, start = (0, None) if saved is None else (saved.step, saved.start)
    detector = build_detector(recipe, pretrained=start_step == 0 and init is None)
    if start_step == 0 and init is not None:
        start = start_detector(detector, init, anyway=init_anyway).plain()
    elif start_step == 0:
        _warn_of_a_random_trunk(recipe)
    begin_run(out, recipe, resume=resume)
    log.info("training %s: %d images, %d to validate", recipe.name, len(dataset), len(evaluation.positions))
    card = dataclasses.replace(make_card(recipe, labels, images), start=start)
    checkpoints = Checkpoints(out, every=recipe.trainer.checkpoint_every, extra={formats.CARD_KEY: card.plain()})
    task = DetectionTask(
        detector,
        evaluation=evaluation,
        optim=recipe.optim,
        schedule=recipe.schedule,
        seed=recipe.trainer.seed,
        start_step=start_step,
        last_good=checkpoints.last_good,
    )
    require_blocks_that_learn(detector)
    return run_steps(
        task,
        make_train_loader=_train_loaders(recipe, dataset),
        make_val_loader=partial(build_test_loader, recipe, evaluation),
        trainer=recipe.trainer,
        checkpoints=checkpoints,
        record=DetectionRecord,
        resume_from=out / LAST if start_step else None,
        progress=progress,
        callbacks=callbacks,
    )


def _train_loaders(recipe: DetectionRecipe, dataset: TrainImages) -> TrainLoaders:
    return TrainLoaders(
        dataset,
        partial(AspectRatioBatchSampler, dataset.is_wide),
        recipe.optim,
        seed=recipe.trainer.seed,
        workers=recipe.data.workers,
        options={"collate_fn": collate},
    )


def _evaluation(recipe: DetectionRecipe, labels: Labels) -> EvaluationSet:
    images = load_images(recipe, "val")
    labels.require(images.categories, source=images.source)
    images.require_annotations()
    evaluation = EvaluationSet(
        images,
        positions=spread_evenly(len(images.images), recipe.trainer.limit_val),
        category_ids=labels.category_ids,
        evaluator=recipe.data.evaluator,
        keypoint_sigmas=recipe.data.keypoint_sigmas,
    )
    evaluation.require_settings()
    return evaluation


def _warn_of_a_random_trunk(recipe: DetectionRecipe) -> None:
    if recipe.model.frozen_bn and not (recipe.model.weights or recipe.model.weights_backbone):
        log.warning(
            "the trunk's weights are random and its BatchNorms fixed, so its features grow from block to block and the "
            "loss may not stay finite: give --init or model.weights_backbone, or set model.frozen_bn to false"
        )


def require_blocks_that_learn(model: nn.Module) -> None:
    """Refuse a block whose last scale is zero and fixed: nothing behind it would ever get a gradient.

    Raises:
        ValueError: Names the block.
    """
    for path, block in nonlocal_blocks(model).items():
        norm: nn.Module | None = block.norm
        if norm is None:
            continue
        trained = isinstance(norm, _BatchNorm) and norm.affine and norm.weight.requires_grad
        if not trained and not bool(getattr(norm, "weight", None) is not None and norm.weight.any()):  # pyright: ignore
            raise ValueError(
                f"the norm of {path} is fixed at a scale of zero, so the block would never learn: use norm=None, whose "
                "W_z starts at zero and is trained, or a norm that is trained"
            )
