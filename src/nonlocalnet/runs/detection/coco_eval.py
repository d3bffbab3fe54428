"""Average precision as COCO defines it, by its reference evaluator or by a faster one with the same figures.

pycocotools decides; faster-coco-eval (the extra `fast-eval`) agrees with it to 6 decimals and is 2 to 8 times faster.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nonlocalnet.data.coco.content import keypoint_names, read_content
from nonlocalnet.data.coco.records import CocoContent, Kind
from nonlocalnet.runs.detection.coco_results import IouType, read_result

Evaluator = Literal["pycocotools", "faster-coco-eval"]

_DETECTION = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
FIGURES: dict[IouType, tuple[str, ...]] = {
    "bbox": _DETECTION,
    "segm": _DETECTION,
    "keypoints": ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"),
}
"""COCO's 12 figures for boxes and masks, and its 10 for keypoints, in its order."""
COCO_KEYPOINTS = 17
_READ_FOR: dict[IouType, Kind | None] = {"bbox": None, "segm": "masks", "keypoints": "keypoints"}


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
    ground_truth: CocoContent | dict[str, Any],
    results: Sequence[Mapping[str, Any]],
    *,
    iou_type: IouType,
    image_ids: Sequence[int],
    evaluator: Evaluator = "pycocotools",
    keypoint_sigmas: Sequence[float] | None = None,
) -> CocoFigures:
    """Evaluate results against an annotation file.

    Both evaluators get the same: checked records, whose ids are counted from 1. An annotation's 0 would mean "no
    match", and ids beyond 2^53 are not exact where they become float64.

    Args:
        ground_truth: What `load_coco` read, or the plain content of a file, which is then checked alike; not changed.
        results: As `nonlocalnet.runs.detection.coco_results.to_results` makes them, in any order of the images; checked
            too, since a mask that does not fill its image would hang the evaluators. Not changed.
        iou_type: "bbox", "segm" or "keypoints".
        image_ids: The images that count.
        evaluator: What computes the figures.
        keypoint_sigmas: One for every keypoint, for the object keypoint similarity; None for COCO's 17.

    Returns:
        All figures.

    Raises:
        ValueError: If keypoints other than COCO's 17 have no sigmas, or the evaluator is not installed.
    """
    if not isinstance(ground_truth, CocoContent):
        ground_truth = read_content(ground_truth, kind=_READ_FOR[iou_type], source="the ground truth")
    sigmas = _sigmas(ground_truth, keypoint_sigmas) if iou_type == "keypoints" else None
    make_coco, make_evaluation = _load(evaluator)
    numbers = _Numbers.of(ground_truth, image_ids)
    truth = _renumbered(ground_truth, numbers)
    checked = _checked(results, iou_type, ground_truth, numbers)
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = make_coco()
        annotated.dataset = truth
        annotated.createIndex()
        detected = annotated.loadRes(checked) if checked else _nothing(make_coco, truth)
        evaluation = make_evaluation(annotated, detected, iou_type)
        evaluation.params.imgIds = sorted(numbers.images.values())
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = FIGURES[iou_type]
    figures = {name: _percent(value) for name, value in zip(names, list(evaluation.stats)[: len(names)], strict=True)}
    return CocoFigures(figures, _per_category(evaluation, {n: i for i, n in numbers.categories.items()}))


def _sigmas(ground_truth: CocoContent, given: Sequence[float] | None) -> np.ndarray | None:
    count = len(keypoint_names(ground_truth, source="the ground truth"))
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


@dataclass(frozen=True)
class _Numbers:
    """Numbers from 1 by the ids of a file, in the ids' order; only of the images that count."""

    images: dict[int, int]
    categories: dict[int, int]

    @classmethod
    def of(cls, content: CocoContent, image_ids: Sequence[int]) -> _Numbers:
        wanted = sorted(set(image_ids) & {image["id"] for image in content.images})
        categories = sorted(category["id"] for category in content.categories)
        return cls({i: n for n, i in enumerate(wanted, start=1)}, {i: n for n, i in enumerate(categories, start=1)})


def _renumbered(content: CocoContent, numbers: _Numbers) -> dict[str, Any]:
    """A copy to evaluate on, since the evaluators write into it."""
    counted = [a for a in content.annotations if a["image_id"] in numbers.images]
    return {
        "info": {},
        "images": [{**i, "id": numbers.images[i["id"]]} for i in content.images if i["id"] in numbers.images],
        "categories": [{**c, "id": numbers.categories[c["id"]]} for c in content.categories],
        "annotations": [
            {
                **a,
                "id": number,
                "image_id": numbers.images[a["image_id"]],
                "category_id": numbers.categories[a["category_id"]],
            }
            for number, a in enumerate(counted, start=1)
        ],
    }


def _checked(
    results: Sequence[Mapping[str, Any]], iou_type: IouType, content: CocoContent, numbers: _Numbers
) -> list[dict[str, Any]]:
    """The results by the evaluation's numbers, without those of categories that the file does not have."""
    counted = (image for image in content.images if image["id"] in numbers.images)
    sizes = {image["id"]: (image["height"], image["width"]) for image in counted}
    keypoints = max((len(category.get("keypoints", ())) for category in content.categories), default=0)
    checked = []
    for place, result in enumerate(results):
        read = read_result(result, iou_type, sizes=sizes, keypoints=keypoints, place=place)
        category_id = numbers.categories.get(read["category_id"])
        if category_id is not None:
            checked.append({**read, "image_id": numbers.images[read["image_id"]], "category_id": category_id})
    # Equal scores are ranked by their place in the list, which must not depend on who detected what.
    return sorted(checked, key=lambda result: result["image_id"])


def _nothing(make_coco: Any, truth: dict[str, Any]) -> Any:
    empty = make_coco()
    empty.dataset = {**truth, "annotations": []}
    empty.createIndex()
    return empty


def _percent(value: float) -> float:
    # The evaluators say -1 where there is nothing to find.
    return math.nan if value < 0 else 100 * float(value)


def _per_category(evaluation: Any, ids: Mapping[int, int]) -> dict[int, float]:
    # Thresholds x recalls x categories x areas x detections; "all" areas first, most detections last.
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
    per_category = dict.fromkeys(ids.values(), math.nan)  # of keypoints, one evaluator leaves out what is not annotated
    for index, category in enumerate(evaluation.params.catIds):
        values = precision[:, :, index]
        values = values[values > -1]
        if values.size:
            per_category[ids[int(category)]] = 100 * float(values.mean())
    return per_category
