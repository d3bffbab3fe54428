"""The figures are COCO's: computed by hand, by pycocotools called as its documentation does, and by the faster one."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from make_images import CATEGORIES, PERSON, person, rectangle
from nonlocalnet.runs.detection.coco_eval import FIGURES, CocoFigures, evaluate
from nonlocalnet.runs.detection.coco_results import encode_mask, to_results


def scene(*, seed: int = 0, images: int = 8) -> tuple[dict[str, Any], dict[Any, list[dict[str, Any]]]]:
    """Objects of all sizes, a crowd, an image without any; detections that are near, far, doubled and invented."""
    draw = np.random.default_rng(seed)
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": CATEGORIES}
    results: dict[Any, list[dict[str, Any]]] = {"bbox": [], "segm": []}
    for image in range(1, images + 1):
        truth["images"].append({"id": image, "height": 300, "width": 400})
        for _ in range(0 if image == 3 else draw.integers(1, 5)):
            side = float(draw.choice([12, 50, 120]))
            box = (*draw.uniform(0, 180, 2).tolist(), side, side * 1.2)
            category = int(draw.choice([1, 18]))
            number = len(truth["annotations"])  # begins at 0, which pycocotools alone takes for "no match"
            truth["annotations"].append(rectangle(number, image, box, category))
            for _ in range(draw.integers(0, 3)):
                x, y, width, height = (value + draw.normal(0, side / 20) for value in box)
                width, height = max(width, 1), max(height, 1)
                entry = {
                    "image_id": image,
                    "category_id": category if draw.random() < 0.8 else 19 - category,
                    "score": float(np.round(draw.random(), 1)),  # many equal ones
                }
                mask = np.zeros((300, 400), dtype=np.uint8)
                mask[int(max(y, 0)) : int(y + height), int(max(x, 0)) : int(x + width)] = 1
                results["bbox"].append({**entry, "bbox": [x, y, width, height]})
                results["segm"].append({**entry, "segmentation": encode_mask(mask)})
    truth["annotations"].append({**rectangle(1000, 1, (200, 200, 90, 90)), "iscrowd": 1})
    crowd = np.zeros((300, 400), dtype=np.uint8)
    crowd[200:290, 200:290] = 1
    truth["annotations"][-1]["segmentation"] = encode_mask(crowd)
    return truth, results


def people_scene() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    draw = np.random.default_rng(1)
    category = {**PERSON, "keypoints": [f"k{i}" for i in range(17)]}
    truth: dict[str, Any] = {"images": [], "annotations": [], "categories": [category]}
    results = []
    for image in range(1, 7):
        truth["images"].append({"id": image, "height": 300, "width": 400})
        side = float(draw.choice([40, 150]))
        places = draw.uniform(20, 20 + side, (17, 2))
        marks = np.concatenate([places, draw.integers(0, 3, (17, 1))], 1)
        truth["annotations"].append(person(image, image, (20, 20, side, side), marks.round().flatten().tolist()))
        for _ in range(2):
            found = np.concatenate([places + draw.normal(0, side / 15, (17, 2)), np.ones((17, 1))], 1)
            entry = {"image_id": image, "category_id": 1, "score": float(draw.random())}
            results.append({**entry, "keypoints": found.flatten().tolist()})
    return truth, results


def by_pycocotools(truth: dict[str, Any], results: list[dict[str, Any]], iou_type: str) -> list[float]:
    """As pycocotools' own demonstration does it, with annotation ids from 1."""
    truth = copy.deepcopy(truth)
    for annotation in truth["annotations"]:
        annotation["id"] += 1
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = COCO()
        annotated.dataset = {"info": {}, **truth}
        annotated.createIndex()
        run = COCOeval(annotated, annotated.loadRes(copy.deepcopy(results)), iou_type)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return list(run.stats)


def as_list(found: CocoFigures) -> list[float]:
    return list(found.figures.values())


@pytest.mark.parametrize("evaluator", ["pycocotools", "faster-coco-eval"])
@pytest.mark.parametrize("iou_type", ["bbox", "segm", "keypoints"])
def test_all_figures_are_pycocotools(iou_type: Any, evaluator: Any) -> None:
    if iou_type == "keypoints":
        truth, results = people_scene()
    else:
        truth, kinds = scene()
        results = kinds[iou_type]
    before = json.dumps([truth, results])
    image_ids = [image["id"] for image in truth["images"]]
    found = evaluate(truth, results, iou_type=iou_type, image_ids=image_ids, evaluator=evaluator)
    expected = [math.nan if value < 0 else 100 * value for value in by_pycocotools(truth, results, iou_type)]
    assert tuple(found.figures) == FIGURES[iou_type]
    assert len(found.figures) == (10 if iou_type == "keypoints" else 12)
    assert as_list(found) == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert 5 < found.figures["AP"] < 95
    assert np.nanmean(list(found.per_category.values())) == pytest.approx(found.figures["AP"])
    assert json.dumps([truth, results]) == before  # loadRes and the evaluators write into what they are given


def test_the_order_of_the_images_does_not_matter() -> None:
    truth, results = scene()
    image_ids = [image["id"] for image in truth["images"]]
    one = evaluate(truth, results["bbox"], iou_type="bbox", image_ids=image_ids)
    odd_first = sorted(results["bbox"], key=lambda result: -(result["image_id"] % 2))
    assert odd_first != results["bbox"]
    assert evaluate(truth, odd_first, iou_type="bbox", image_ids=image_ids[::-1]) == one


def test_by_hand() -> None:
    """Of two objects one is found exactly; a detection of another place ranks below it."""
    truth = {
        "images": [{"id": 1, "height": 100, "width": 100}],
        "annotations": [rectangle(0, 1, (10, 10, 20, 20)), rectangle(1, 1, (50, 50, 20, 20))],
        "categories": CATEGORIES,
    }
    result = {"image_id": 1, "category_id": 1}
    results = [
        {**result, "bbox": [10, 10, 20, 20], "score": 0.9},
        {**result, "bbox": [70, 10, 20, 20], "score": 0.8},
    ]
    found = evaluate(truth, results, iou_type="bbox", image_ids=[1])
    # Precision 1 up to recall 0.5 (51 of the 101 recall thresholds), 0 beyond.
    assert found.figures["AP"] == pytest.approx(100 * 51 / 101)
    assert found.figures["AR100"] == pytest.approx(50)
    assert math.isnan(found.figures["APl"])
    assert found.per_category[1] == pytest.approx(found.figures["AP"])
    assert math.isnan(found.per_category[18])


@pytest.mark.parametrize("evaluator", ["pycocotools", "faster-coco-eval"])
def test_nothing_found_is_zero_and_other_images_do_not_count(evaluator: Any) -> None:
    truth, results = scene()
    nothing = evaluate(truth, [], iou_type="segm", image_ids=[1, 2], evaluator=evaluator)
    assert nothing.figures["AP"] == 0
    first = [result for result in results["bbox"] if result["image_id"] <= 2]
    some = evaluate(truth, first, iou_type="bbox", image_ids=[1, 2], evaluator=evaluator)
    alone = {**truth, "images": truth["images"][:2]}
    alone["annotations"] = [a for a in truth["annotations"] if a["image_id"] <= 2]
    assert as_list(some) == pytest.approx(
        as_list(evaluate(alone, first, iou_type="bbox", image_ids=[1, 2])), nan_ok=True
    )


def test_keypoints_other_than_cocos_need_sigmas() -> None:
    truth = {
        "images": [{"id": 1, "height": 60, "width": 60}],
        "annotations": [person(1, 1, (10, 10, 40, 40), [20, 20, 2, 30, 20, 2, 25, 40, 2])],
        "categories": [PERSON],
    }
    exact = {"image_id": 1, "category_id": 1, "score": 0.5, "keypoints": [20, 20, 1, 30, 20, 1, 25, 40, 1]}
    off = {**exact, "keypoints": [24, 20, 1, 34, 20, 1, 29, 40, 1]}

    def ap(result: dict[str, Any], sigmas: Any) -> float:
        found = evaluate(truth, [result], iou_type="keypoints", image_ids=[1], keypoint_sigmas=sigmas)
        return found.figures["AP"]

    assert ap(exact, [0.05] * 3) == pytest.approx(100)
    # exp(-4^2 / (2 * 1600 * (2 sigma)^2)): 0.606 for 0.05, so above 3 of the 10 thresholds; 0.88 for 0.1.
    assert ap(off, [0.05] * 3) == pytest.approx(30)
    assert ap(off, [0.1] * 3) == pytest.approx(80)
    with pytest.raises(ValueError, match=r"data\.keypoint_sigmas is not set: .* its 17 keypoints, but .* have 3"):
        ap(exact, None)
    with pytest.raises(ValueError, match=r"data\.keypoint_sigmas must be 3 numbers, one a keypoint, got 2"):
        ap(exact, [0.05, 0.05])


def test_detections_become_results() -> None:
    masks = torch.zeros(3, 1, 20, 30)
    masks[0, 0, 4:10, 5:12] = 0.7
    detections = {
        "boxes": torch.tensor([[5.0, 4, 12, 10], [0, 0, 3, 3], [1, 1, 2, 2]]),
        "labels": torch.tensor([2, 1, 9]),
        "scores": torch.tensor([0.5, 0.25, 0.125]),
        "masks": masks,
    }
    results = to_results(7, detections, category_ids={1: 1, 2: 18})
    assert results["bbox"] == [
        {"image_id": 7, "category_id": 18, "score": 0.5, "bbox": [5, 4, 7, 6]},
        {"image_id": 7, "category_id": 1, "score": 0.25, "bbox": [0, 0, 3, 3]},
    ]
    assert "bbox" not in results["segm"][0]  # it would make the evaluator take the box's area
    assert json.loads(json.dumps(results)) == results
    del detections["masks"]
    detections["keypoints"] = torch.tensor([[[1.0, 2, 1], [3, 4, 1]]] * 3)
    assert to_results(7, detections, category_ids={2: 18})["keypoints"][0]["keypoints"] == [1, 2, 1, 3, 4, 1]
