"""Finding objects in pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.data.pixels.read_image import ImageError, read_image
from nonlocalnet.engine.machine import has_fast_bf16
from nonlocalnet.runs.detection.coco_results import MASK_THRESHOLD, encode_mask
from nonlocalnet.runs.detection.task import as_input


@dataclass(frozen=True)
class Detected:
    """What was found in one picture.

    Attributes:
        path: The picture.
        image: uint8 (3, H, W); None where it could not be read.
        objects: Most certain first: {"category_id", "class", "score", "box" [x1, y1, x2, y2] in pixels, and "mask" as
            COCO's run lengths or "keypoints" [[x, y, score], ...]}.
        masks: bool (N, H, W); None without masks.
        error: Why the picture could not be read; empty if it was.
    """

    path: str
    image: Tensor | None
    objects: list[dict[str, Any]]
    masks: Tensor | None
    error: str


def detect(
    model: nn.Module,
    paths: Sequence[str | Path],
    *,
    labels: Labels,
    device: torch.device,
    min_score: float,
    bf16: bool | None = None,
) -> Iterator[Detected]:
    """Find objects in pictures, one by one.

    Args:
        model: A detector; moved to `device` and put in eval mode.
        paths: Pictures, shown as a viewer shows them (EXIF rotation applied).
        labels: The detector's.
        device: Where it runs.
        min_score: Lowest score of an object that is kept.
        bf16: Convolutions and products in bfloat16; None for where a GPU has that arithmetic.

    Yields:
        What was found, in order.
    """
    model.to(device).eval()
    bf16 = has_fast_bf16(device) if bf16 is None else bf16
    for path in paths:
        try:
            image = read_image(Path(path))
        except (ImageError, FileNotFoundError) as error:
            yield Detected(str(path), None, [], None, str(error))
            continue
        yield from detect_images(
            model, [image], path=str(path), labels=labels, device=device, min_score=min_score, bf16=bf16
        )


def detect_images(
    model: nn.Module,
    images: Sequence[Tensor],
    *,
    path: str,
    labels: Labels,
    device: torch.device,
    min_score: float,
    bf16: bool,
) -> list[Detected]:
    """Find objects in pictures that are read already, all at once; as `detect`, whose `model` is on the device.

    Args:
        model: A detector in eval mode.
        images: uint8 (3, H, W) each.
        path: Where they come from.
        labels: The detector's.
        device: Where it runs.
        min_score: Lowest score of an object that is kept.
        bf16: Convolutions and products in bfloat16.
    """
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
    with torch.inference_mode(), autocast, _finding_only(model, min_score):
        all_found = model(as_input([image.to(device) for image in images]))
    return [
        _detected(path, image, {name: value.cpu() for name, value in found.items()}, labels, min_score)
        for image, found in zip(images, all_found, strict=True)
    ]


@contextmanager
def _finding_only(model: nn.Module, min_score: float) -> Iterator[None]:
    """Have a detector leave out what scores less by itself: a mask or keypoints of an object cost as much unseen.

    A mask takes 4 bytes for every pixel of the picture. What scores higher is not changed: no box suppresses another
    that scores higher, and those that an image may have at most are the highest.
    """
    heads: Any = model.roi_heads
    own = heads.score_thresh
    # What scores as much as this is left out, and scores are float32.
    heads.score_thresh = max(own, float(np.nextafter(np.float32(min_score), np.float32(-1))))
    try:
        yield
    finally:
        heads.score_thresh = own


def _detected(path: str, image: Tensor, found: dict[str, Tensor], labels: Labels, min_score: float) -> Detected:
    kept = [
        i
        for i, (label, score) in enumerate(zip(found["labels"].tolist(), found["scores"].tolist(), strict=True))
        if score >= min_score and label in labels.category_ids
    ]
    masks = found["masks"][kept, 0] >= MASK_THRESHOLD if "masks" in found else None
    objects = []
    for place, i in enumerate(kept):
        label = int(found["labels"][i])
        entry: dict[str, Any] = {
            "category_id": labels.category_ids[label],
            "class": labels.names[label],
            "score": float(found["scores"][i]),
            "box": found["boxes"][i].tolist(),
        }
        if masks is not None:
            entry["mask"] = encode_mask(np.asarray(masks[place]))
        if "keypoints" in found:
            scores = found["keypoints_scores"][i].tolist()
            entry["keypoints"] = [
                [x, y, score] for (x, y, _), score in zip(found["keypoints"][i].tolist(), scores, strict=True)
            ]
        objects.append(entry)
    return Detected(path, image, objects, masks, "")
