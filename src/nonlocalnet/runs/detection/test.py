"""Testing a detector: COCO's figures on a recipe's validation images."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.engine.run_folder import prepare_output
from nonlocalnet.engine.tested import about_test
from nonlocalnet.engine.train import MakeValLoader
from nonlocalnet.engine.validate import validate_once
from nonlocalnet.runs.detection.card import labels_of, open_detector, saved_recipe
from nonlocalnet.runs.detection.coco_eval import CocoFigures
from nonlocalnet.runs.detection.coco_results import IouType, Results
from nonlocalnet.runs.detection.config import DetectionRecipe
from nonlocalnet.runs.detection.data import build_test_loader, load_images
from nonlocalnet.runs.detection.network import set_sizes
from nonlocalnet.runs.detection.report import DetectionSummary, write_detection_report
from nonlocalnet.runs.detection.task import DetectionTask, EvaluationSet
from nonlocalnet.system.processes import is_first_process


@dataclass(frozen=True)
class DetectorWeights:
    """A checkpoint, read once.

    Attributes:
        path: The file, as it was given.
        detector: Its detector, on the CPU in eval mode.
        labels: The classes that it knows.
        recipe: The recipe it was trained by.
    """

    path: str
    detector: GeneralizedRCNN
    labels: Labels
    recipe: DetectionRecipe

    def trained_by(self, recipe: DetectionRecipe) -> bool:
        """Whether they are of that recipe's detector and COCO's classes: only then are its results a comparison."""
        if self.recipe.name != recipe.name or self.recipe.model != recipe.model:
            return False
        known = set(MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"])
        return all(self.labels.names[label] in known for label in self.labels.category_ids)

    def protocol(self, recipe: DetectionRecipe) -> DetectionRecipe:
        """A recipe's protocol for these weights: theirs if they were trained by it."""
        return self.recipe if self.recipe.name == recipe.name else recipe


def open_weights(path: str | Path) -> DetectorWeights:
    """Read a checkpoint of a detection run.

    Of the recipe that it was trained by, what concerned that run's machine or only its quick look is left out.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or no checkpoint of a detector.
    """
    detector, card = open_detector(path)
    recipe = saved_recipe(card)
    data = dataclasses.replace(recipe.data, limit=None)
    recipe = dataclasses.replace(recipe, data=data, trainer=TrainerConfig())
    return DetectorWeights(str(path), detector, labels_of(card), recipe)


def test_recipe(
    recipe: DetectionRecipe,
    *,
    weights: str | Path | DetectorWeights,
    out: str | Path,
    progress: bool = True,  # noqa: PT028  not a test
) -> DetectionSummary:
    """Test a detector's checkpoint on the validation images and write its results and figures.

    Args:
        recipe: Its `data` says which images; the detector comes from the checkpoint, its thresholds from the recipe.
        weights: A checkpoint of a detection run, or what `open_weights` gave for it.
        out: Folder for the files of `nonlocalnet.runs.detection.report`; new or empty.
        progress: Show a progress bar on standard error.

    Returns:
        What the test comes to.

    Raises:
        ValueError: A setting or file is wrong, or the file's categories are not the detector's.
        FileNotFoundError: A file or image does not exist.
        OutputError: `out` cannot be used or written.
    """
    out = Path(out)
    choose_device(recipe.trainer.device)
    opened = weights if isinstance(weights, DetectorWeights) else open_weights(weights)
    detector, labels = opened.detector, opened.labels
    recipe = dataclasses.replace(recipe, model=opened.recipe.model)
    images = load_images(recipe, "val")
    labels.require(images.categories, source=images.source)
    set_sizes(detector, (recipe.data.test_min_size or recipe.data.min_sizes[-1],), max_size=recipe.data.max_size)
    evaluation = EvaluationSet(
        images,
        positions=list(range(len(images.images))),
        category_ids=labels.category_ids,
        evaluator=recipe.data.evaluator,
        keypoint_sigmas=recipe.data.keypoint_sigmas,
    )
    evaluation.require_settings()
    if is_first_process():
        prepare_output(out, resume=False)
    about = {"images": len(evaluation.positions), **about_test(recipe, detector, path=opened.path)}
    figures, results = test_detector(
        detector,
        make_loader=partial(build_test_loader, recipe, evaluation),
        evaluation=evaluation,
        trainer=recipe.trainer,
        out=out,
        progress=progress,
    )
    if is_first_process():
        write_detection_report(out, figures, results, labels=labels, about=about)
    return DetectionSummary(figures, labels)


def test_detector(
    model: nn.Module,
    *,
    make_loader: MakeValLoader,
    evaluation: EvaluationSet,
    trainer: TrainerConfig,
    out: Path,
    progress: bool = True,  # noqa: PT028  not a test
) -> tuple[dict[IouType, CocoFigures], Results]:
    """Detect on all images and compare with their annotations; every process comes to the same figures.

    Args:
        model: A detector of torchvision's kind.
        make_loader: Loader of a process's share.
        evaluation: What the detections are compared with.
        trainer: Device, processes and precision.
        out: Existing folder.
        progress: Show a progress bar on standard error.

    Returns:
        The figures of every kind of result, and the results.
    """
    task = DetectionTask(
        model,
        evaluation=evaluation,
        optim=OptimConfig(),
        schedule=ScheduleConfig(),
        seed=trainer.seed,
        start_step=0,
        last_good=str,
    )
    validate_once(task, make_loader=make_loader, trainer=trainer, out=out, progress=progress)
    return task.figures, task.results
