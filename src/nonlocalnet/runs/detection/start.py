"""A file starts a detector: its blocks and norms must compute there what they computed where they were trained."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.ops import FrozenBatchNorm2d

from nonlocalnet import formats
from nonlocalnet.formats.graph import block_facts
from nonlocalnet.formats.start import BLOCK_MEANING, Start, block_differences, require_same_meaning
from nonlocalnet.models.detection.card import DetectionCard
from nonlocalnet.runs.detection.card import saved_recipe
from nonlocalnet.runs.detection.network import build_detector, initialise_detector


def start_detector(detector: GeneralizedRCNN, path: str | Path, *, anyway: bool) -> Start:
    """Copy whatever of a file's tensors fits into a detector, in place.

    Args:
        detector: To be trained.
        path: As `initialise_detector` takes it. What is compared stands in the card of a checkpoint of a detection run;
            other files say nothing of what their numbers mean.
        anyway: Start from numbers that mean something else here, too; the log says what.

    Returns:
        What it started from.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If no tensor fits, or, unless `anyway`, the numbers mean something else; every difference is named.
    """
    opened = formats.open_file(path)
    found: list[str] = []
    plain = opened.content.get(formats.CARD_KEY) if isinstance(opened.content, dict) else None
    if isinstance(plain, dict) and formats.kind_of(plain) == DetectionCard.kind:
        with torch.device("meta"):
            recipe = saved_recipe(DetectionCard.from_plain(plain, path=opened.path))
            theirs = build_detector(recipe, pretrained=False)
        found = block_differences(block_facts(detector), block_facts(theirs), names=BLOCK_MEANING)
        pair = _norm_eps(detector), _norm_eps(theirs)
        if pair[0] != pair[1]:
            found.append(f"eps of the trunk's norms is {pair[0]} here and {pair[1]} there")
    require_same_meaning(found, path=opened.path, anyway=anyway)
    initialise_detector(detector, opened)
    return Start(Path(opened.path).name, tuple(found))


def _norm_eps(detector: nn.Module) -> float | None:
    """What the first norm of the trunk adds to the variance."""
    norms = (module for module in detector.modules() if isinstance(module, (_BatchNorm, FrozenBatchNorm2d)))
    return next((module.eps for module in norms), None)
