"""Detections in the format of COCO's results files: plain lists that the evaluators and the test server read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pycocotools import mask as coco_mask
from torch import Tensor

IouType = Literal["bbox", "segm", "keypoints"]
Results = dict[IouType, list[dict[str, Any]]]

# A pixel belongs to an object from this probability on.
MASK_THRESHOLD = 0.5


def to_results(image_id: int, detections: Mapping[str, Tensor], *, category_ids: Mapping[int, int]) -> Results:
    """One image's detections as results.

    Every kind of result is a list of its own, without the fields of the others: a box beside a mask would make the
    evaluator take the box's area for the object's size.

    Args:
        image_id: The image's id in the annotations.
        detections: As torchvision's detectors give them: boxes, labels, scores, and masks or keypoints.
        category_ids: By label; what a detector says of other labels is left out.

    Returns:
        "bbox" and, where the detector has such a head, "segm" or "keypoints".
    """
    boxes, labels, scores = (detections[name].tolist() for name in ("boxes", "labels", "scores"))
    kept = [i for i, label in enumerate(labels) if label in category_ids]

    def entry(i: int) -> dict[str, Any]:
        return {"image_id": image_id, "category_id": category_ids[labels[i]], "score": scores[i]}

    results: Results = {"bbox": [{**entry(i), "bbox": _xywh(boxes[i])} for i in kept]}
    if "masks" in detections:
        masks = (detections["masks"][:, 0] >= MASK_THRESHOLD).cpu().numpy()
        results["segm"] = [{**entry(i), "segmentation": encode_mask(masks[i])} for i in kept]
    if "keypoints" in detections:
        keypoints = detections["keypoints"].tolist()
        results["keypoints"] = [
            {**entry(i), "keypoints": [value for point in keypoints[i] for value in point]} for i in kept
        ]
    return results


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """A bitmap (H, W) as COCO's compressed run lengths, with text that JSON can hold."""
    encoded: Any = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def _xywh(box: list[float]) -> list[float]:
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]
