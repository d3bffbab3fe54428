"""Where the blocks of a detector's backbone look, in a user's picture."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from nonlocalnet.data.pixels.read_image import read_image
from nonlocalnet.explanation import Explanation, explain
from nonlocalnet.formats import OpenedFile
from nonlocalnet.runs.detection.card import DetectionCard, labels_of, open_detector, saved_recipe
from nonlocalnet.runs.detection.network import set_sizes
from nonlocalnet.runs.detection.task import as_input
from nonlocalnet.system.typed import refuse_typed

_OF_CLIPS = ("clip", "start", "full", "short_side", "classes", "pairwise", "scale", "subsample")


def explain_weights(opened: OpenedFile, parsed: Namespace, *, device: torch.device) -> Explanation:
    """What `nonlocalnet explain` shows for a file of weights.

    Args:
        opened: A checkpoint of a detection run.
        parsed: What `explain` takes.
        device: Where the detector runs.

    Raises:
        FileNotFoundError: There is no such picture.
        ValueError: It cannot be read, or an option is for video networks.
    """
    refuse_typed(parsed, _OF_CLIPS, f"on {opened.path}: it is for videos, and this is a detector")
    detector, card = open_for_pictures(opened, device=device)
    return explain_picture(detector, card, Path(parsed.file), blocks=parsed.blocks, progress=True)


def open_for_pictures(opened: OpenedFile, *, device: torch.device) -> tuple[GeneralizedRCNN, DetectionCard]:
    """A checkpoint's detector on a device, for pictures of the size that its recipe tests on."""
    detector, card = open_detector(opened)
    data = saved_recipe(card).data
    set_sizes(detector, (data.test_min_size or data.min_sizes[-1],), max_size=data.max_size)
    return detector.to(device), card


def explain_picture(
    detector: GeneralizedRCNN,
    card: DetectionCard,
    path: Path,
    *,
    blocks: Sequence[str] | None = None,
    progress: bool = False,
) -> Explanation:
    """Where the blocks of a detector look in a picture.

    Args:
        detector: From `open_for_pictures`, on the device where it is to run.
        card: Its card.
        path: The picture.
        blocks: Dotted paths; None for all.
        progress: Show progress on standard error.

    Raises:
        FileNotFoundError: There is no such picture.
        ValueError: It cannot be read, or the detector has no blocks.
    """
    labels = labels_of(card)
    return explain(
        detector,
        as_input([read_image(path).to(next(detector.parameters()).device)]),
        blocks=blocks,
        title=path.name,
        network=f"NL {card.architecture}",
        class_names=[labels.names.get(label, f"class {label}") for label in range(max(labels.names) + 1)],
        progress=progress,
    )
