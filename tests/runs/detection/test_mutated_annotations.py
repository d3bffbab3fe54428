"""Whatever stands in an annotation file: one sentence at load, or the same figures by both evaluators and a target."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from make_images import person, small_people, write_split
from nonlocalnet.data.coco.annotation_file import load_coco
from nonlocalnet.data.coco.datasets import TrainImages
from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.data.coco.records import CocoSet, Kind
from nonlocalnet.data.pixels.read_image import read_image
from nonlocalnet.runs.detection.coco_eval import evaluate
from nonlocalnet.runs.detection.coco_results import Results, encode_mask
from nonlocalnet.runs.detection.task import EvaluationSet

# A file of every form of mask, with a crowd and keypoints, which is read for masks and for keypoints.
SHORT = {"size": [48, 64], "counts": [300, 30]}
RUNS = {"size": [48, 64], "counts": [490, 20, 28, 20, 48 * 64 - 558]}


def whole_content() -> dict[str, Any]:
    content = small_people(images=3)
    crowd = person(7, 1, (10, 10, 20, 20), [0] * 9)
    content["annotations"] += [
        {**crowd, "iscrowd": 1, "segmentation": RUNS},
        {**person(8, 3, (5, 6, 30, 20), [9, 9, 2, 0, 0, 0, 12, 14, 1]), "segmentation": RUNS},
    ]
    content["images"] = [{**image, "file_name": f"{image['id']}.png"} for image in content["images"]]
    return copy.deepcopy(content)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in the content, in some order that is always the same."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in items:
        yield from places(inner, (*path, step))


ODD: list[Any] = [
    *(None, True, False, "", "0", "1", " 2 ", "3.5", "1e3", "nan", "inf", "text", "\x1b[31m", "[x]", [], {}, [[]]),
    *(0, 1, 2, -1, 3.0, 0.5, 1e-9, 1e9, 1e300, 2**31, 2**53 + 1, 2**60, 2**63, 10**400, -(2**63)),
    *(math.nan, math.inf, -math.inf, [5, 5, 25, 5, 25, 20], [[5, 5, 25, 20]], [[5, 5, 25, 5, 25, 20]], ["1", "2"]),
    *(
        {"size": [48, 64], "counts": [300, 30]},
        {"size": [48, 64], "counts": ""},
        {"size": ["48", 64.0], "counts": "P0"},
    ),
    *({"size": [48, 64], "counts": "\u00e9"}, {"size": [48, 64], "counts": [10, 0, 0, 48 * 64 - 10]}, {"size": [1]}),
    *([[0, 0, 10**9, 0, 10**9, 10**9]], [[0, 0, 700, 0, 700, 500]], [[math.nan] * 6], [["5", "5", 25, "5", 25, 20]]),
    *([79.99998, 10, 5, 20], [63.99999, 10, 5, 20], ["1", "2", "30", "20"], [10, 10, -5, 5], [0, 0, 0, 0], [1, 2, 3]),
]
MISSING = object()
PATHS = list(places(whole_content()))


def mutated(content: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    place: Any = content
    for step in path[:-1]:
        place = place[step]
    if value is MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = copy.deepcopy(value)
    return content


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("coco")
    write_split(root, "train2017", whole_content())
    return root


def detections(images: CocoSet) -> Results:
    """What a detector might say of the pictures: right, half right, and nothing."""
    results: Results = {"bbox": [], "segm": [], "keypoints": []}
    category = images.categories[0]["id"]
    for rank, (image, shift) in enumerate((image, shift) for image in images.images for shift in (0, 4, 30)):
        entry = {"image_id": image.id, "category_id": category, "score": 0.9 - 0.05 * rank}
        mask = torch.zeros(image.height, image.width)
        mask[10 : 34 + shift, 8 + shift : 38 + shift] = 1
        results["bbox"].append({**entry, "bbox": [8 + shift, 10, 30, 24 + shift]})
        results["segm"].append({**entry, "segmentation": encode_mask(mask.numpy())})
        results["keypoints"].append({**entry, "keypoints": [20 + shift, 20, 1, 14, 15 + shift, 1, 26, 15, 1]})
    return results


def check(root: Path, content: Any, kind: Kind) -> str:
    """Load, evaluate by both, and make every target; returns the error, where it is refused."""
    path = root / "annotations" / "mutated.json"
    path.write_text(json.dumps(content))
    try:
        images = load_coco(path, images=root / "train2017", kind=kind)
    except (ValueError, FileNotFoundError) as error:
        refused = error
    else:
        compare_and_make_targets(images)
        return ""
    assert type(refused) in (ValueError, FileNotFoundError)
    message = str(refused)
    assert str(path) in message
    assert len(message) < 700
    assert message.isprintable()
    return message


def compare_and_make_targets(images: CocoSet) -> None:
    found = []
    for evaluator in ("pycocotools", "faster-coco-eval"):
        evaluation = EvaluationSet(
            images, list(range(len(images.images))), {}, evaluator=evaluator, keypoint_sigmas=[0.05] * 3
        )
        found.append(evaluation.figures(detections(images)))
    for iou_type, ours in found[0].items():
        assert list(ours.figures.values()) == pytest.approx(list(found[1][iou_type].figures.values()), nan_ok=True)
        assert ours.per_category == pytest.approx(found[1][iou_type].per_category, nan_ok=True)
    labels = Labels.of_categories(images.categories, num_classes=91, source=images.source)
    try:
        data = TrainImages(images, labels, flip=1.0, seed=0, flip_pairs=[])
    except ValueError:
        with pytest.raises(ValueError, match=r"holds no annotations|has an object to train on"):
            TrainImages(images, labels, flip=1.0, seed=0, flip_pairs=[])
        return
    for position, image in enumerate(data.images):
        if read_image(image.path).shape[-2:] != (image.height, image.width):
            continue  # of another size, which `read_image` refuses with one
        target = data[0, position]["target"]
        assert (target["boxes"][:, 2:] > target["boxes"][:, :2]).all()
        assert all(tensor.isfinite().all() for tensor in target.values())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(PATHS), value=st.sampled_from([*ODD, MISSING]), kind=st.sampled_from(["masks", "keypoints"])
)
def test_a_changed_file_is_refused_in_a_sentence_or_means_the_same_to_all(
    root: Path, path: tuple[Any, ...], value: Any, kind: Kind
) -> None:
    check(root, mutated(whole_content(), path, value), kind)


def changed(root: Path, change: dict[str, Any], kind: Kind = "masks", entry: int = 1) -> str:
    content = whole_content()
    content["annotations"][entry].update(change)
    return check(root, content, kind)


def test_a_file_of_text_numbers_and_nulls_comes_to_the_figures_of_the_plain_one(root: Path) -> None:
    plain = whole_content()
    for annotation in plain["annotations"]:
        del annotation["area"], annotation["num_keypoints"]
    spelt = copy.deepcopy(plain)
    for image in spelt["images"]:
        image.update({name: str(image[name]) for name in ("id", "height")}, width=float(image["width"]))
    spelt["categories"][0]["id"] = "1"
    for annotation in spelt["annotations"]:
        annotation.update({name: str(annotation[name]) for name in ("id", "image_id", "category_id")}, area=None)
        annotation["iscrowd"] = "1" if annotation["iscrowd"] else "0"
        for name in ("bbox", "keypoints"):
            annotation[name] = [f" {value} " for value in annotation[name]]
        segmentation = annotation["segmentation"]
        if isinstance(segmentation, dict):
            annotation["segmentation"] = {name: [str(n) for n in values] for name, values in segmentation.items()}
        else:
            annotation["segmentation"] = [[str(n) for n in polygon] for polygon in segmentation]
    spelt["annotations"][1]["iscrowd"] = None
    for kind in ("masks", "keypoints"):
        read = []
        for content in (plain, spelt):
            assert check(root, content, kind) == ""
            read.append(load_coco(root / "annotations" / "mutated.json", images=root / "train2017", kind=kind).content)
        assert read[0] == read[1]


@pytest.mark.parametrize("far", [2**53 + 1, 2**60, 2**62 + 7])
def test_large_ids_are_as_good_as_small_ones(root: Path, far: int) -> None:
    """Neighbours would be one number in float64."""
    content = whole_content()
    for entry in content["images"]:
        entry["id"] += far
    for entry in content["annotations"]:
        entry["id"] += far
        entry["image_id"] += far
        entry["category_id"] += far
    content["categories"][0]["id"] += far
    expected, found = [], []
    for kind, into in ((whole_content(), expected), (content, found)):
        assert check(root, kind, "masks") == ""
        images = load_coco(root / "annotations" / "mutated.json", images=root / "train2017", kind="masks")
        for evaluator in ("pycocotools", "faster-coco-eval"):
            figures = EvaluationSet(images, [0, 1, 2], {}, evaluator=evaluator).figures(detections(images))
            into.append([list(of_kind.figures.values()) for of_kind in figures.values()])
            assert set(figures["bbox"].per_category) == {images.categories[0]["id"]}
    assert str(expected) == str(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"iscrowd": True}, "annotation 2: iscrowd must be 0 or 1, got True"),
        ({"iscrowd": "yes"}, "annotation 2: iscrowd must be 0 or 1, got 'yes'"),
        ({"area": -3}, "annotation 2: area must be a number of at least 0, got -3"),
        ({"area": "big"}, "annotation 2: area must be a number of at least 0, got 'big'"),
        ({"bbox": [math.nan, 10, 5, 20]}, "annotation 2: bbox must be four numbers [x, y, width, height], got [nan, "),
        ({"bbox": [10, 10, -5, 20]}, "annotation 2: bbox must be [x, y, width, height] of a width and height of at le"),
        ({"bbox": [1e9, 10, 5, 20]}, "annotation 2: bbox must be in or near its image of 48 x 64 pixels, got [1000000"),
        ({"category_id": 1.5}, "annotation 2: category_id must be a whole number, got 1.5"),
        ({"image_id": "two"}, "annotation 2: image_id must be a whole number, got 'two'"),
        ({"image_id": None}, "annotation 2: an entry of 'annotations' has no 'image_id'"),
        ({"id": [2]}, "annotation at place 1: id must be a whole number, got [2]"),
        ({"segmentation": RUNS}, "annotation 2: a mask of size [48, 64] does not fit its image of [64, 48]"),
        ({"segmentation": {"size": [64, 48], "counts": [300, 30]}}, "add up to height x width = 3072, but come to 330"),
        ({"segmentation": {"size": [64, 48], "counts": [4000, -928]}}, "must be whole numbers of at least 0"),
        ({"segmentation": {"size": [64, 48], "counts": ""}}, "add up to height x width = 3072, got ''"),
        ({"segmentation": {"size": [64, 48], "counts": "P"}}, "add up to height x width = 3072, got 'P'"),
        ({"segmentation": [[0, 0, 1e9, 0, 1e9, 1e9]]}, "a polygon has the coordinate 1e+09"),
        ({"segmentation": [[0, 0, math.inf, 0, 9, 9]]}, "must be a list of polygons with at least 3 points each"),
        ({"segmentation": [5, 5, 25, 5, 25, 20]}, "must be a list of polygons with at least 3 points each"),
        ({"segmentation": [[5, 5, 25, 20]]}, "must be a list of polygons with at least 3 points each"),
        ({"segmentation": [[5, 5, 25, 5, 25, 20, 7]]}, "must be a list of polygons with at least 3 points each"),
        ({"segmentation": [[0, 0, 400, 400] * 40_000]}, "must have an outline of at most"),
    ],
)
def test_what_is_no_value_is_refused_by_file_annotation_field_and_value(
    root: Path, change: dict[str, Any], message: str
) -> None:
    error = changed(root, change)
    assert error.startswith(f"{root / 'annotations' / 'mutated.json'}: annotation ")
    assert message in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"keypoints": [math.nan, 20, 2, 14, 15, 2, 26, 15, 1]},
            "annotation 2: keypoints must be numbers, x, y",
        ),
        ({"keypoints": [1e9, 20, 2, 14, 15, 2, 26, 15, 1]}, "annotation 2: keypoints must be in or near its image"),
        (
            {"keypoints": [20, 20, 1e300, 14, 15, 2, 26, 15, 1]},
            "annotation 2: keypoints must be x, y and visibility of",
        ),
        ({"keypoints": {"nose": 1}}, "annotation 2: keypoints must be numbers"),
        ({"num_keypoints": "many"}, "annotation 2: num_keypoints must be a whole number of at least 0, got 'many'"),
    ],
)
def test_keypoints_alike(root: Path, change: dict[str, Any], message: str) -> None:
    assert message in changed(root, change, "keypoints")


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("images", {"height": 0}, "image 1: height must be at least 1 pixel, got 0"),
        ("images", {"height": "tall"}, "image 1: height must be a whole number, got 'tall'"),
        ("images", {"height": None}, "image 1: an entry of 'images' has no 'height'"),
        ("images", {"height": 10**6, "width": 10**6}, "image 1: height x width must be below 536870912 pixels"),
        ("images", {"file_name": 3}, "image 1: file_name must be a file's name without control characters, got 3"),
        (
            "images",
            {"file_name": "\x1b[2J.png"},
            r"image 1: file_name must be .* got '\\x1b",
        ),
        ("images", {"file_name": None}, "image 1: an entry of 'images' has no 'file_name'"),
        ("categories", {"name": None}, "category 1: an entry of 'categories' has no 'name'"),
        ("categories", {"name": ["cat"]}, r"category 1: name must be text, got \['cat'\]"),
        ("categories", {"name": "\ud800"}, r"category 1: name must be text of whole characters, got '\\ud800'"),
        ("categories", {"keypoints": ["a", "b", "\udcff"]}, "category 1: keypoints must be names of whole characters"),
        ("categories", {"keypoints": "nose"}, "category 1: keypoints must be a list of names, got 'nose'"),
        ("categories", {"keypoints": ["a", "a", "b"]}, "category 1: keypoints must be names that stand once each"),
        (
            "categories",
            {"skeleton": [[1, 9]]},
            r"category 1: skeleton must be a list of pairs .* from 1 to 3",
        ),
    ],
)
def test_images_and_categories_alike(root: Path, part: str, change: dict[str, Any], message: str) -> None:
    content = whole_content()
    content[part][0].update(change)
    error = check(root, content, "keypoints")
    assert re.search(message, error)


@pytest.mark.parametrize("kind", ["masks", "keypoints"])
def test_a_category_that_nothing_is_annotated_with_has_no_figure_by_either(root: Path, kind: Kind) -> None:
    content = whole_content()
    content["categories"].append({**content["categories"][0], "id": 2, "name": "other"})
    assert check(root, content, kind) == ""


def test_files_of_another_shape(root: Path) -> None:
    assert "not in COCO's format: it has no list 'images'" in check(root, [whole_content()], "masks")
    path = root / "annotations" / "deep.json"
    path.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError, match=r"deep\.json is not (in COCO's format|whole JSON)"):
        load_coco(path, images=root / "train2017", kind="masks")


def test_a_box_that_float32_does_not_hold_is_named_and_not_trained_on(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """640 - 2e-5 is 640 in float32; a box of such a width ended training in torchvision's assertion."""
    assert changed(root, {"bbox": [47.999999, 10, 5, 20]}) == ""
    assert re.search(
        r"1 boxes have no area inside their image, in float32, .* the first is bbox \[47.999999, 10, 5, 20\] of "
        r"annotation 2 in image 2 \(.*2\.png\)",
        caplog.text,
    )


@pytest.mark.parametrize("evaluator", ["pycocotools", "faster-coco-eval"])
@pytest.mark.parametrize(
    ("iou_type", "change", "message"),
    [
        ("segm", {"segmentation": SHORT}, "segm: result at place 0: the counts of a segmentation must add up"),
        ("segm", {"segmentation": None}, "segm: result at place 0: an entry of 'results' has no 'segmentation'"),
        ("bbox", {"bbox": [math.nan, 0, 1, 1]}, r"bbox: result at place 0: bbox must be \[x, y, width, height\]"),
        ("bbox", {"score": "high"}, "bbox: result at place 0: score must be a number, got 'high'"),
        ("bbox", {"category_id": "cat"}, "bbox: result at place 0: category_id must be a whole number, got 'cat'"),
        ("bbox", {"image_id": 99}, "bbox: result at place 0 names image 99, which is none of those that are evaluated"),
        ("keypoints", {"keypoints": [1, 2, 3]}, "keypoints: result at place 0: keypoints must be 9 numbers"),
    ],
)
def test_results_are_checked_too(
    evaluator: Any, iou_type: Any, change: dict[str, Any], message: str, root: Path
) -> None:
    assert check(root, whole_content(), "keypoints") == ""
    images = load_coco(root / "annotations" / "mutated.json", images=root / "train2017", kind="masks")
    results = detections(images)[iou_type]
    results[0].update(change)
    with pytest.raises(ValueError, match=message):
        evaluate(
            whole_content(),
            results,
            iou_type=iou_type,
            image_ids=[1, 2, 3],
            evaluator=evaluator,
            keypoint_sigmas=[0.05] * 3,
        )


@pytest.mark.parametrize("evaluator", ["pycocotools", "faster-coco-eval"])
def test_results_of_other_forms_count_as_what_they_are(evaluator: Any, root: Path) -> None:
    """Ids as text, and masks as polygons or plain run lengths, which the evaluators alone do not take."""
    truth = {**whole_content(), "annotations": whole_content()["annotations"][:2]}
    result = {"image_id": "1", "category_id": "1", "score": "0.5"}
    polygon = truth["annotations"][0]["segmentation"]
    for form in (polygon, [[str(n) for n in polygon[0]]]):
        found = evaluate(truth, [{**result, "segmentation": form}], iou_type="segm", image_ids=[1], evaluator=evaluator)
        assert found.figures["AP"] == pytest.approx(100)
