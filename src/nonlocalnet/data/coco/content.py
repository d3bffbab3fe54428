"""The content of a file in COCO's format, read into records once: what is wrong is refused here, and nowhere later."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from nonlocalnet.data.coco.masks import MOST_PIXELS, read_segmentation
from nonlocalnet.data.coco.records import Annotation, Category, CocoContent, ImageEntry, Kind
from nonlocalnet.data.coco.values import Entry, as_number, as_numbers, as_whole, as_wholes, entries

# No control characters, no halves of surrogate pairs, and no longer than systems allow.
_FILE_NAME = re.compile("[^\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]{1,4096}")
# JSON can spell halves of characters, which no file of results can hold.
_HALVES = re.compile("[\\ud800-\\udfff]")
# Boxes and keypoints may lie outside the image; farther than so many of its long sides they are a mistake.
_SIDES_BEYOND = 10


def read_content(content: object, *, kind: Kind | None, source: Path | str) -> CocoContent:
    """Check the content of an annotation file and turn it into records.

    Numbers written as text become numbers, and null is as absent. Of fields that may be absent, "iscrowd" is then 0,
    "area" that of the box, and "num_keypoints" counted.

    Args:
        content: What the JSON holds.
        kind: What it is read for: "masks" reads segmentations too, "keypoints" keypoints, None boxes alone.
        source: The file, for errors.

    Returns:
        The records. A file need not have annotations; without them it need not have categories either.

    Raises:
        ValueError: It is not in COCO's format, an id stands twice, an annotation names an image or category that is not
            there, or a field is not what it must be: the error names the file, the annotation, the field and its value.
    """
    images = tuple(_image(entry) for entry in entries(content, "images", source=source))
    if not images:
        raise ValueError(f"{source} holds no images")
    assert isinstance(content, dict)  # it has a list of images
    annotated = content.get("annotations") is not None
    categories: tuple[Category, ...] = ()
    if annotated or content.get("categories") is not None:
        categories = tuple(_category(entry) for entry in entries(content, "categories", source=source))
    _require_unique(source, "image", [image["id"] for image in images])
    _require_unique(source, "category", [category["id"] for category in categories])
    by_id = {image["id"]: image for image in images}
    category_ids = {category["id"] for category in categories}
    annotations: tuple[Annotation, ...] = ()
    if annotated:
        annotations = tuple(
            _annotation(entry, by_id, category_ids, kind) for entry in entries(content, "annotations", source=source)
        )
    _require_unique(source, "annotation", [annotation["id"] for annotation in annotations])
    return CocoContent(images, annotations, categories, annotated=bool(annotations))


def _require_unique(source: Path | str, what: str, ids: list[int]) -> None:
    (most, count), *_ = Counter(ids).most_common(1) or [(None, 0)]
    if count > 1:
        raise ValueError(f"{source}: the {what} id {most} stands {count} times; ids must be unique")


def _image(entry: Entry) -> ImageEntry:
    record: ImageEntry = {"id": entry.whole("id"), "height": entry.whole("height"), "width": entry.whole("width")}
    for side in ("height", "width"):
        if record[side] < 1:
            raise entry.refusal(side, "at least 1 pixel", record[side])
    if record["height"] * record["width"] >= MOST_PIXELS:
        size = f"{record['height']} x {record['width']}"
        raise entry.refusal("height x width", f"below {MOST_PIXELS} pixels", size)
    name = entry.values.get("file_name")
    if name is not None:
        if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
            raise entry.refusal("file_name", "a file's name without control characters", name)
        record["file_name"] = name
    return record


def _category(entry: Entry) -> Category:
    name = entry.get("name")
    if isinstance(name, bool) or not isinstance(name, (str, int, float)):
        raise entry.refusal("name", "text", name)
    if _HALVES.search(str(name)):
        raise entry.refusal("name", "text of whole characters", name)
    record: Category = {"id": entry.whole("id"), "name": str(name)}
    keypoints = entry.values.get("keypoints")
    if keypoints is None:
        return record
    if not isinstance(keypoints, list) or not all(isinstance(n, str) for n in keypoints):
        raise entry.refusal("keypoints", "a list of names", keypoints)
    if any(_HALVES.search(name) for name in keypoints):
        raise entry.refusal("keypoints", "names of whole characters", keypoints)
    if len(set(keypoints)) < len(keypoints):
        raise entry.refusal("keypoints", "names that stand once each", keypoints)
    record["keypoints"] = keypoints
    skeleton = entry.values.get("skeleton")
    if skeleton is not None:
        record["skeleton"] = _skeleton(entry, skeleton, len(keypoints))
    return record


def _skeleton(entry: Entry, skeleton: object, keypoints: int) -> list[list[int]]:
    pairs = [as_wholes(pair) for pair in skeleton] if isinstance(skeleton, list) else [None]
    read = [pair for pair in pairs if pair is not None and len(pair) == 2 and all(1 <= k <= keypoints for k in pair)]
    if len(read) < len(pairs):
        raise entry.refusal("skeleton", f"a list of pairs of keypoints, counted from 1 to {keypoints}", skeleton)
    return read


def _annotation(entry: Entry, images: Mapping[int, ImageEntry], categories: set[int], kind: Kind | None) -> Annotation:
    number, image_id, category_id = entry.whole("id"), entry.whole("image_id"), entry.whole("category_id")
    if image_id not in images:
        raise ValueError(f"{entry.where} names image {image_id}, which is not among the file's images")
    if category_id not in categories:
        raise ValueError(f"{entry.where} names category {category_id}, which is not among its categories")
    image = images[image_id]
    box = _box(entry, image)
    record: Annotation = {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": box,
        "area": _area(entry, box),
        "iscrowd": _is_crowd(entry),
    }
    segmentation = entry.values.get("segmentation")
    if kind == "masks" and segmentation not in (None, []):
        try:
            record["segmentation"] = read_segmentation(segmentation, height=image["height"], width=image["width"])
        except ValueError as error:
            raise ValueError(f"{entry.where}: {error}") from error
    if kind == "keypoints" and entry.values.get("keypoints") is not None:
        _add_keypoints(record, entry, image)
    return record


def _box(entry: Entry, image: ImageEntry) -> list[float]:
    value = entry.get("bbox")
    box = as_numbers(value)
    if box is None or len(box) != 4:
        raise entry.refusal("bbox", "four numbers [x, y, width, height]", value)
    if box[2] < 0 or box[3] < 0:
        raise entry.refusal("bbox", "[x, y, width, height] of a width and height of at least 0", value)
    _require_near("bbox", [*box, box[0] + box[2], box[1] + box[3]], entry, image)
    return box


def _require_near(field: str, places: list[float], entry: Entry, image: ImageEntry) -> None:
    """Beyond it float32, or the evaluators' areas, are no longer exact."""
    side = max(image["height"], image["width"])
    if min(places) < -_SIDES_BEYOND * side or max(places) > (1 + _SIDES_BEYOND) * side:
        raise entry.refusal(
            field, f"in or near its image of {image['width']} x {image['height']} pixels", entry.get(field)
        )


def _area(entry: Entry, box: list[float]) -> float:
    value = entry.values.get("area")
    area = box[2] * box[3] if value is None else as_number(value)
    if area is None or area < 0:
        raise entry.refusal("area", "a number of at least 0", value)
    return area


def _is_crowd(entry: Entry) -> int:
    value = entry.values.get("iscrowd")
    crowd = 0 if value is None else as_whole(value)
    if crowd not in (0, 1):
        raise entry.refusal("iscrowd", "0 or 1", value)
    return crowd


def _add_keypoints(record: Annotation, entry: Entry, image: ImageEntry) -> None:
    value = entry.get("keypoints")
    numbers = as_numbers(value)
    if numbers is None or len(numbers) % 3:
        raise entry.refusal("keypoints", "numbers, x, y and visibility of each", value)
    if numbers:
        places = [place for i, place in enumerate(numbers) if i % 3 < 2]
        _require_near("keypoints", places, entry, image)
    if not all(visibility in (0, 1, 2) for visibility in numbers[2::3]):
        raise entry.refusal("keypoints", "x, y and visibility of each, which is 0, 1 or 2", value)
    visible = sum(visibility > 0 for visibility in numbers[2::3])
    given = entry.values.get("num_keypoints")
    count = visible if given is None else as_whole(given)
    if count is None or count < 0:
        raise entry.refusal("num_keypoints", "a whole number of at least 0", given)
    record["keypoints"] = numbers
    record["num_keypoints"] = count


def keypoint_names(content: CocoContent, *, source: Path | str) -> tuple[str, ...]:
    """The names of an object's keypoints, which all categories share.

    Raises:
        ValueError: They do not, or an annotation has not as many keypoints.
    """
    lists = {tuple(category.get("keypoints", ())) for category in content.categories}
    names = lists.pop() if len(lists) == 1 else ()
    if not names:
        raise ValueError(
            f"{source} is no file of keypoints: its categories must all have one and the same list 'keypoints'; "
            "COCO's is person_keypoints_*.json"
        )
    for annotation in content.annotations:
        found = annotation.get("keypoints")
        if found is None or len(found) != 3 * len(names):
            count = "none" if found is None else len(found)
            raise ValueError(
                f"{source}: annotation {annotation['id']} must have {3 * len(names)} keypoint numbers, x, y and "
                f"visibility of {len(names)} each, but has {count}"
            )
    return names
