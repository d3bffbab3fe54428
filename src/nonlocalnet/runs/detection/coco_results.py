"""Detections in the format of COCO's results files: plain lists that the evaluators and the test server read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pycocotools import mask as coco_mask
from torch import Tensor

from nonlocalnet.data.coco.masks import compressed, plain_mask, read_segmentation
from nonlocalnet.data.coco.values import Entry, as_number, as_numbers

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
    return {**plain_mask(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))}


def read_result(
    result: Mapping[str, Any], iou_type: IouType, *, sizes: Mapping[int, tuple[int, int]], keypoints: int, place: int
) -> dict[str, Any]:
    """One entry of a results file, checked, with its field of `iou_type` alone.

    Args:
        result: "image_id", "category_id", "score", and "bbox", "segmentation" or "keypoints".
        iou_type: Which of these.
        sizes: Height and width of the images that are evaluated, by id.
        keypoints: Of an object.
        place: Of the entry among the results, for errors.

    Raises:
        ValueError: A field is absent or not what it must be, a mask does not fill its image, or the image is none of
            those evaluated.
    """
    entry = Entry({**result, "id": None}, "results", place, iou_type)
    image_id, category_id = entry.whole("image_id"), entry.whole("category_id")
    if image_id not in sizes:
        raise ValueError(f"{entry.where} names image {image_id}, which is none of those that are evaluated")
    score = as_number(entry.get("score"))
    if score is None:
        raise entry.refusal("score", "a number", entry.get("score"))
    read: dict[str, Any] = {"image_id": image_id, "category_id": category_id, "score": float(score)}
    if iou_type == "segm":
        height, width = sizes[image_id]
        try:
            mask = read_segmentation(entry.get("segmentation"), height=height, width=width)
        except ValueError as error:
            raise ValueError(f"{entry.where}: {error}") from error
        return {**read, "segmentation": compressed(mask, height=height, width=width)}
    value = entry.get(iou_type)
    numbers = as_numbers(value)
    count = 4 if iou_type == "bbox" else 3 * keypoints
    if numbers is None or len(numbers) != count or (iou_type == "bbox" and min(numbers[2:]) < 0):
        expected = "[x, y, width, height], the last two at least 0" if iou_type == "bbox" else f"{count} numbers"
        raise entry.refusal(iou_type, expected, value)
    return {**read, iou_type: numbers}


def _xywh(box: list[float]) -> list[float]:
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]
