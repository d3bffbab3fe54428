"""Annotations in COCO's format: read whole, checked, and turned into one record per image.

root/
    train2017/ val2017/                         images
    annotations/instances_train2017.json        boxes and masks (val2017 alike)
    annotations/person_keypoints_train2017.json boxes and keypoints
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from nonlocalnet.data.coco.content import keypoint_names, read_content
from nonlocalnet.data.coco.records import Annotation, CocoContent, CocoImage, CocoSet, ImageEntry, Kind
from nonlocalnet.system.media import refuse_media
from nonlocalnet.system.odd_files import parse_json, require_file

log = logging.getLogger(__name__)

ANNOTATION_FILES: dict[Kind, str] = {"masks": "instances", "keypoints": "person_keypoints"}


def load_coco(source: Path, *, images: Path, kind: Kind) -> CocoSet:
    """Read an annotation file and find its pictures.

    Args:
        source: JSON in COCO's format; without annotations (COCO's image_info_*.json) it is a list of pictures to detect
            in.
        images: Folder that the file names of the pictures are relative to.
        kind: "masks" needs a segmentation for every object, "keypoints" needs keypoints.

    Returns:
        The pictures with their annotations.

    Raises:
        FileNotFoundError: If the file, the folder or a picture does not exist.
        ValueError: If the file is no whole JSON, what `read_content` refuses, or what `kind` needs is missing.
    """
    content = read_content(_read(source), kind=kind, source=source)
    names = keypoint_names(content, source=source) if kind == "keypoints" and content.annotated else ()
    if kind == "masks":
        _check_masks(source, content)
    if not images.is_dir():
        raise FileNotFoundError(f"{images}: there is no such folder; it should hold the images of {source}")
    by_image: dict[int, list[Annotation]] = {image["id"]: [] for image in content.images}
    for annotation in content.annotations:
        by_image[annotation["image_id"]].append(annotation)
    found = tuple(
        CocoImage(i["id"], images / _file_name(i, source), i["height"], i["width"], tuple(by_image[i["id"]]))
        for i in content.images
    )
    missing = [image for image in found if not _is_file(image.path)]
    if missing:
        raise FileNotFoundError(
            f"{missing[0].path}: there is no such image, which {source} names with id {missing[0].id} "
            f"({len(missing)} of its {len(found)} images are missing)"
        )
    return CocoSet(source, kind, found, content, names)


def _read(source: Path) -> Any:
    if not source.exists():
        raise FileNotFoundError(f"{source}: there is no such annotation file")
    require_file(source)
    refuse_media(source, expected="a file of COCO's annotations")
    try:
        return parse_json(source.read_bytes())
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except json.JSONDecodeError as error:
        size = source.stat().st_size
        raise ValueError(f"{source} is not whole JSON ({size} bytes; {error}): is the download complete?") from error
    except ValueError as error:
        raise ValueError(f"{source} is not in COCO's format: {error}") from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for the file system
        return False


def _file_name(image: ImageEntry, source: Path) -> str:
    name = image.get("file_name")
    if name is None:
        raise ValueError(f"{source}: image {image['id']}: an entry of 'images' has no 'file_name'")
    return name


def _check_masks(source: Path, content: CocoContent) -> None:
    lacking = [a for a in content.annotations if "segmentation" not in a]
    describes_keypoints = any("keypoints" in category for category in content.categories)
    if lacking and describes_keypoints:
        raise ValueError(
            f"{source} is a file of keypoints, and annotation {lacking[0]['id']} has no segmentation: masks need "
            "instances_*.json"
        )
    if lacking:
        raise ValueError(
            f"{source}: annotation {lacking[0]['id']} has no segmentation ({len(lacking)} have none), which masks need"
        )
    if describes_keypoints and content.annotated:
        log.warning("%s is a file of keypoints: it has masks, but of its own categories only", source)
