"""Where the blocks of a detector's backbone look, in a user's picture."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import torch

from nonlocalnet.data.pixels.read_image import read_image
from nonlocalnet.explanation import Explanation, explain
from nonlocalnet.formats import OpenedFile
from nonlocalnet.runs.detection.card import labels_of, open_detector, saved_recipe
from nonlocalnet.runs.detection.network import set_sizes
from nonlocalnet.runs.detection.task import as_input

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
    for option in _OF_CLIPS:
        if getattr(parsed, option):
            raise ValueError(
                f"--{option.replace('_', '-')} has no effect on {opened.path}: it is for videos, and this is a detector"
            )
    detector, card = open_detector(opened)
    recipe = saved_recipe(card)
    set_sizes(detector, (recipe.data.test_min_size or recipe.data.min_sizes[-1],), max_size=recipe.data.max_size)
    labels = labels_of(card)
    names = [labels.names.get(label, f"class {label}") for label in range(max(labels.names) + 1)]
    path = Path(parsed.file)
    return explain(
        detector.to(device),
        as_input([read_image(path).to(device)]),
        blocks=parsed.blocks,
        title=path.name,
        network=f"NL {card.architecture}",
        class_names=names,
        progress=True,
    )
