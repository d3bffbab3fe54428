"""Annotations in COCO's format: read whole, checked, and turned into one record per image.

root/
    train2017/ val2017/                         images
    annotations/instances_train2017.json        boxes and masks (val2017 alike)
    annotations/person_keypoints_train2017.json boxes and keypoints
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

log = logging.getLogger(__name__)

Kind = Literal["masks", "keypoints"]
ANNOTATION_FILES: dict[Kind, str] = {"masks": "instances", "keypoints": "person_keypoints"}


@dataclass(frozen=True)
class CocoImage:
    """One picture and what is annotated in it.

    Attributes:
        id: Its id in the file.
        path: The picture.
        height: In pixels.
        width: In pixels.
        annotations: As the file has them.
    """

    id: int
    path: Path
    height: int
    width: int
    annotations: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class CocoSet:
    """One annotation file with its pictures.

    Attributes:
        source: The file.
        kind: What it is read for.
        images: In the file's order.
        content: The whole file, for the evaluation.
        keypoint_names: Names of the keypoints of its category; empty for masks.
    """

    source: Path
    kind: Kind
    images: tuple[CocoImage, ...]
    content: dict[str, Any]
    keypoint_names: tuple[str, ...] = ()

    @property
    def categories(self) -> list[dict[str, Any]]:
        """The categories in the file, each with "id" and "name"."""
        return self.content["categories"]


def load_coco(source: Path, *, images: Path, kind: Kind) -> CocoSet:
    """Read an annotation file and find its pictures.

    Args:
        source: JSON in COCO's format.
        images: Folder that the file names of the pictures are relative to.
        kind: "masks" needs a segmentation for every object, "keypoints" needs keypoints.

    Returns:
        The pictures with their annotations.

    Raises:
        FileNotFoundError: If the file, the folder or a picture does not exist.
        ValueError: If the file is no whole JSON or not in COCO's format, an id stands twice, an annotation names an
            image or category that is not there, or what `kind` needs is missing.
    """
    content = _read(source)
    by_image = {int(image["id"]): [] for image in content["images"]}
    _require_unique(source, "image", [image["id"] for image in content["images"]])
    _require_unique(source, "annotation", [annotation["id"] for annotation in content["annotations"]])
    _require_unique(source, "category", [category["id"] for category in content["categories"]])
    category_ids = {category["id"] for category in content["categories"]}
    for annotation in content["annotations"]:
        _check_references(source, annotation, by_image, category_ids)
        by_image[annotation["image_id"]].append(annotation)
    names = _keypoint_names(source, content) if kind == "keypoints" else ()
    if kind == "masks":
        _check_masks(source, content)
    if not images.is_dir():
        raise FileNotFoundError(f"{images}: there is no such folder; it should hold the images of {source}")
    found = tuple(
        CocoImage(int(i["id"]), images / i["file_name"], int(i["height"]), int(i["width"]), tuple(by_image[i["id"]]))
        for i in content["images"]
    )
    missing = [image for image in found if not image.path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{missing[0].path}: there is no such image, which {source} names with id {missing[0].id} "
            f"({len(missing)} of its {len(found)} images are missing)"
        )
    return CocoSet(source, kind, found, content, names)


def _read(source: Path) -> dict[str, Any]:
    if not source.is_file():
        raise FileNotFoundError(f"{source}: there is no such annotation file")
    try:
        content = json.loads(source.read_bytes())
    except ValueError as error:
        size = source.stat().st_size
        raise ValueError(f"{source} is not whole JSON ({size} bytes; {error}): is the download complete?") from error
    fields = {
        "images": ("id", "file_name", "height", "width"),
        "annotations": ("id", "image_id", "category_id", "bbox"),
        "categories": ("id", "name"),
    }
    for part, names in fields.items():
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise ValueError(f"{source} is not in COCO's format: it has no list {part!r}")
        for entry in content[part]:
            lacking = [name for name in names if name not in entry] if isinstance(entry, dict) else list(names)
            if lacking:
                raise ValueError(f"{source}: an entry of {part!r} has no {lacking[0]!r}: {str(entry)[:120]}")
    if not content["images"]:
        raise ValueError(f"{source} holds no images")
    return content


def _require_unique(source: Path, what: str, ids: list[Any]) -> None:
    (most, count), *_ = Counter(ids).most_common(1) or [(None, 0)]
    if count > 1:
        raise ValueError(f"{source}: the {what} id {most} stands {count} times; ids must be unique")


def _check_references(
    source: Path, annotation: dict[str, Any], by_image: dict[int, list[Any]], category_ids: set[Any]
) -> None:
    where = f"{source}: annotation {annotation['id']}"
    if annotation["image_id"] not in by_image:
        raise ValueError(f"{where} names image {annotation['image_id']}, which is not among the file's images")
    if annotation["category_id"] not in category_ids:
        raise ValueError(f"{where} names category {annotation['category_id']}, which is not among its categories")
    box = annotation["bbox"]
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(side, (int, float)) for side in box):
        raise ValueError(f"{where}: bbox must be four numbers [x, y, width, height], got {box!r}")


def _check_masks(source: Path, content: dict[str, Any]) -> None:
    lacking = [a for a in content["annotations"] if not a.get("segmentation")]
    describes_keypoints = any("keypoints" in category for category in content["categories"])
    if lacking and describes_keypoints:
        raise ValueError(
            f"{source} is a file of keypoints, and annotation {lacking[0]['id']} has no segmentation: masks need "
            "instances_*.json"
        )
    if lacking:
        raise ValueError(
            f"{source}: annotation {lacking[0]['id']} has no segmentation ({len(lacking)} have none), which masks need"
        )
    if describes_keypoints:
        log.warning("%s is a file of keypoints: it has masks, but of its own categories only", source)


def _keypoint_names(source: Path, content: dict[str, Any]) -> tuple[str, ...]:
    lists = {tuple(category.get("keypoints", ())) for category in content["categories"]}
    names = lists.pop() if len(lists) == 1 else ()
    if not names:
        raise ValueError(
            f"{source} is no file of keypoints: its categories must all have one and the same list 'keypoints'; "
            "COCO's is person_keypoints_*.json"
        )
    for annotation in content["annotations"]:
        found = annotation.get("keypoints")
        if not isinstance(found, list) or len(found) != 3 * len(names):
            count = len(found) if isinstance(found, list) else "none"
            raise ValueError(
                f"{source}: annotation {annotation['id']} must have {3 * len(names)} keypoint numbers, x, y and "
                f"visibility of {len(names)} each, but has {count}"
            )
    return names
