"""Average precision as COCO defines it, by its reference evaluator or by a faster one with the same figures.

pycocotools decides; faster-coco-eval (the extra `fast-eval`) agrees with it to 6 decimals and is 2 to 8 times faster.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nonlocalnet.runs.detection.coco_results import IouType

Evaluator = Literal["pycocotools", "faster-coco-eval"]

_DETECTION = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
FIGURES: dict[IouType, tuple[str, ...]] = {
    "bbox": _DETECTION,
    "segm": _DETECTION,
    "keypoints": ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"),
}
"""COCO's 12 figures for boxes and masks, and its 10 for keypoints, in its order."""
COCO_KEYPOINTS = 17


@dataclass(frozen=True)
class CocoFigures:
    """What an evaluation comes to; percent, NaN where nothing is annotated.

    Attributes:
        figures: By the names of `FIGURES`.
        per_category: AP by category id.
    """

    figures: dict[str, float]
    per_category: dict[int, float]


def evaluate(
    ground_truth: dict[str, Any],
    results: Sequence[dict[str, Any]],
    *,
    iou_type: IouType,
    image_ids: Sequence[int],
    evaluator: Evaluator = "pycocotools",
    keypoint_sigmas: Sequence[float] | None = None,
) -> CocoFigures:
    """Evaluate results against an annotation file.

    Args:
        ground_truth: Content of the file; it is not changed.
        results: As `nonlocalnet.runs.detection.coco_results.to_results` makes them, in any order of the images; not
            changed.
        iou_type: "bbox", "segm" or "keypoints".
        image_ids: The images that count.
        evaluator: What computes the figures.
        keypoint_sigmas: One for every keypoint, for the object keypoint similarity; None for COCO's 17.

    Returns:
        All figures.

    Raises:
        ValueError: If keypoints other than COCO's 17 have no sigmas, or the evaluator is not installed.
    """
    sigmas = _sigmas(ground_truth, keypoint_sigmas) if iou_type == "keypoints" else None
    make_coco, make_evaluation = _load(evaluator)
    truth = _renumbered(ground_truth, image_ids)
    # Equal scores are ranked by their place in the list, which must not depend on who detected what.
    ordered = sorted((copy.copy(result) for result in results), key=lambda result: result["image_id"])
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = make_coco()
        annotated.dataset = truth
        annotated.createIndex()
        detected = annotated.loadRes(ordered) if ordered else _nothing(make_coco, truth)
        evaluation = make_evaluation(annotated, detected, iou_type)
        evaluation.params.imgIds = sorted(image_ids)
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = FIGURES[iou_type]
    figures = {name: _percent(value) for name, value in zip(names, list(evaluation.stats)[: len(names)], strict=True)}
    return CocoFigures(figures, _per_category(evaluation))


def _sigmas(ground_truth: dict[str, Any], given: Sequence[float] | None) -> np.ndarray | None:
    count = len(ground_truth["categories"][0].get("keypoints", ()))
    if given is None and count != COCO_KEYPOINTS:
        raise ValueError(
            f"data.keypoint_sigmas is not set: COCO gives them for its {COCO_KEYPOINTS} keypoints, but these "
            f"annotations have {count}; give {count} numbers such as 0.05"
        )
    if given is not None and len(given) != count:
        raise ValueError(f"data.keypoint_sigmas must be {count} numbers, one a keypoint, got {len(given)}")
    return None if given is None else np.array(given)


def _load(evaluator: Evaluator) -> tuple[Any, Any]:
    if evaluator == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        return COCO, COCOeval
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ImportError as error:
        raise ValueError(
            "data.evaluator is 'faster-coco-eval', which is not installed: pip install 'nonlocalnet[fast-eval]', or "
            "use 'pycocotools'"
        ) from error
    return COCO, COCOeval_faster


def _renumbered(ground_truth: dict[str, Any], image_ids: Sequence[int]) -> dict[str, Any]:
    """A copy to evaluate on, since the evaluators write into it. Its annotation ids begin at 1: 0 means "no match"."""
    wanted = set(image_ids)
    annotations = [a for a in ground_truth["annotations"] if a["image_id"] in wanted]
    return {
        "info": {},
        "images": [image for image in ground_truth["images"] if image["id"] in wanted],
        "categories": copy.deepcopy(ground_truth["categories"]),
        "annotations": [_complete(a, number) for number, a in enumerate(annotations, start=1)],
    }


def _complete(annotation: dict[str, Any], number: int) -> dict[str, Any]:
    """What the evaluators read and some files lack."""
    _, _, width, height = annotation["bbox"]
    filled = {"area": width * height, "iscrowd": 0, **annotation, "id": number}
    if "keypoints" in annotation:
        filled.setdefault("num_keypoints", sum(v > 0 for v in annotation["keypoints"][2::3]))
    return filled


def _nothing(make_coco: Any, truth: dict[str, Any]) -> Any:
    empty = make_coco()
    empty.dataset = {**truth, "annotations": []}
    empty.createIndex()
    return empty


def _percent(value: float) -> float:
    # The evaluators say -1 where there is nothing to find.
    return math.nan if value < 0 else 100 * float(value)


def _per_category(evaluation: Any) -> dict[int, float]:
    # Thresholds x recalls x categories x areas x detections; "all" areas first, most detections last.
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
    per_category = {}
    for index, category in enumerate(evaluation.params.catIds):
        values = precision[:, :, index]
        values = values[values > -1]
        per_category[int(category)] = 100 * float(values.mean()) if values.size else math.nan
    return per_category
