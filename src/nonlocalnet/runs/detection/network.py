"""The detector of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from nonlocalnet import formats
from nonlocalnet.block import NonLocalBlock
from nonlocalnet.engine.optim import Parts
from nonlocalnet.formats.initialise import InitReport, initialise
from nonlocalnet.models.detection.architectures import ARCHITECTURES
from nonlocalnet.models.detection.assemble import build, set_frozen_bn_eps
from nonlocalnet.models.detection.control import LocalBlock, add_local_control
from nonlocalnet.runs.detection.config import DetectionRecipe

_TRUNK = "backbone.body."


def build_detector(recipe: DetectionRecipe, *, pretrained: bool) -> GeneralizedRCNN:
    """Build the recipe's detector; its initial weights are a function of `trainer.seed`.

    Args:
        recipe: The run.
        pretrained: Load the weights that it starts from; False where others follow.
    """
    model = recipe.model
    options = {**vars(model), "min_size": recipe.data.min_sizes, "max_size": recipe.data.max_size}
    if model.control:
        options |= {"nonlocal_backbone": False, "nonlocal_head": False}
    if not pretrained:
        options |= {"weights": None, "weights_backbone": None}
    if model.scale is None:
        del options["scale"]
    taken = ARCHITECTURES[model.architecture].defaults
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.trainer.seed)
        arguments = {name: value for name, value in options.items() if name in taken}
        detector: GeneralizedRCNN = build(model.architecture, arguments)
        if model.control:
            places = {"nonlocal_backbone": model.nonlocal_backbone, "nonlocal_head": model.nonlocal_head}
            add_local_control(detector, **places, norm=model.norm, zero_init=model.zero_init)
    # torchvision's COCO_V1 weights were trained without an eps; a checkpoint of their fine-tuning keeps that.
    set_frozen_bn_eps(detector, 0.0 if model.weights == "COCO_V1" else model.bn_eps)
    return detector


def parts_of(model: nn.Module) -> Parts:
    """The non-local blocks, or the local ones in their place, which may learn at a rate of their own."""
    return Parts(blocks=[module for module in model.modules() if isinstance(module, (NonLocalBlock, LocalBlock))])


def initialise_detector(detector: GeneralizedRCNN, path: str | Path | formats.OpenedFile) -> InitReport:
    """Copy the tensors of a file that match by name and shape into the detector.

    Args:
        detector: Changed in place.
        path: A checkpoint of a detection run, a detector's state dict in torchvision's names, or a 2-D ResNet's, which
            goes into the trunk; or one of these that was opened.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If no tensor fits.
    """
    opened = formats.open_file(path)
    tensors = formats.read_tensors(opened)
    if "conv1.weight" in tensors:
        tensors = {_TRUNK + name: tensor for name, tensor in tensors.items() if not name.startswith("fc.")}
    return initialise(detector, tensors, source=opened.path)


def set_sizes(detector: GeneralizedRCNN, min_sizes: tuple[int, ...], *, max_size: int) -> None:
    """Set what images are resized to; of several short sides the last is taken in eval mode."""
    transform: Any = detector.transform
    transform.min_size, transform.max_size = min_sizes, max_size
