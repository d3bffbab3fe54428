"""A detector held ready for one picture after the other."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from nonlocalnet.data.pixels.read_image import ImageError
from nonlocalnet.explanation import Explanation
from nonlocalnet.formats import OpenedFile
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.runs.detection.card import DetectionCard, labels_of
from nonlocalnet.runs.detection.draw import draw
from nonlocalnet.runs.detection.explain import explain_picture, open_for_pictures
from nonlocalnet.runs.detection.predict import detect
from nonlocalnet.system.typed import refuse_typed

_MIN_SCORE = 0.5
_OF_VIDEOS = ("views", "clip", "classes", "pairwise", "scale", "subsample")


def open_served(opened: OpenedFile, parsed: Namespace, *, device: torch.device) -> ServedPictures:
    """The detector of a checkpoint, ready.

    Args:
        opened: A checkpoint of a detection run.
        parsed: What `serve` takes.
        device: Where the detector runs.

    Raises:
        ValueError: An option is out of range or of video networks, or the file holds no such network.
    """
    refuse_typed(parsed, _OF_VIDEOS, f"on {opened.path}: it is for videos, and this is a detector")
    min_score = _MIN_SCORE if parsed.min_score is None else parsed.min_score
    if not 0 <= min_score <= 1:
        raise ValueError(f"--min-score must be in [0, 1], got {min_score}")
    detector, card = open_for_pictures(opened, device=device)
    return ServedPictures(detector, card, min_score, device)


class ServedPictures:
    """A detector; `ServedNetwork` in `runs/kinds.py` says what the functions are for."""

    takes = "image"

    def __init__(self, detector: GeneralizedRCNN, card: DetectionCard, min_score: float, device: torch.device) -> None:
        self._detector, self._card, self._min_score, self._device = detector, card, min_score, device
        self.has_blocks = bool(nonlocal_blocks(detector))
        self.name = f"{'NL ' if self.has_blocks else ''}{card.architecture}"

    def predict(self, path: Path) -> tuple[dict[str, Any], torch.Tensor | None]:
        """The objects, as `nonlocalnet detect` finds them, in float32, and the picture with them drawn."""
        (found,) = detect(
            self._detector,
            [path],
            labels=labels_of(self._card),
            device=self._device,
            min_score=self._min_score,
            bf16=False,
        )
        if found.error:
            raise ImageError(found.error)
        return {"objects": found.objects}, draw(found, skeleton=[(a, b) for a, b in self._card.skeleton])

    def explain(self, path: Path) -> Explanation:
        """Where the blocks of the backbone look in the picture."""
        return explain_picture(self._detector, self._card, path)
