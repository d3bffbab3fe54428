"""Small data sets in COCO's layout, written for a test."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 18, "name": "dog"}]
PERSON = {"id": 1, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"], "skeleton": [[1, 2]]}


def picture(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def rectangle(number: int, image: int, box: tuple[float, float, float, float], category: int = 1) -> dict[str, Any]:
    """An annotation whose mask is its box."""
    x, y, width, height = box
    polygon = [x, y, x + width, y, x + width, y + height, x, y + height]
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": list(box),
        "area": width * height,
        "iscrowd": 0,
        "segmentation": [polygon],
    }


def person(number: int, image: int, box: tuple[float, float, float, float], keypoints: list[int]) -> dict[str, Any]:
    visible = sum(v > 0 for v in keypoints[2::3])
    return {**rectangle(number, image, box), "keypoints": keypoints, "num_keypoints": visible}


def write_split(
    root: Path, split: str, content: dict[str, Any], *, kind: str = "instances", suffix: str = "png"
) -> Path:
    """Write an annotation file and a picture of noise for every image that has none yet."""
    (root / split).mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    content = copy.deepcopy(content)
    for image in content["images"]:
        image.setdefault("file_name", f"{image['id']:012d}.{suffix}")
        path = root / split / image["file_name"]
        if not path.exists():
            Image.fromarray(picture(image["height"], image["width"], seed=image["id"])).save(path)
    path = root / "annotations" / f"{kind}_{split}.json"
    path.write_text(json.dumps(content))
    return path


def small_content(*, images: int = 4) -> dict[str, Any]:
    """Wide and high images, one object each, the classes in turn."""
    sizes = [(48, 64), (64, 48)]
    listed = [{"id": i + 1, "height": sizes[i % 2][0], "width": sizes[i % 2][1]} for i in range(images)]
    objects = [rectangle(i + 1, i + 1, (8, 10, 30, 24), (1, 18)[i // 2 % 2]) for i in range(images)]
    return {"images": listed, "annotations": objects, "categories": CATEGORIES}


def small_people(*, images: int = 4) -> dict[str, Any]:
    content = small_content(images=images)
    people = [person(i + 1, i + 1, (8, 10, 30, 24), [20, 20, 2, 14, 15, 2, 26, 15, 1]) for i in range(images)]
    return {"images": content["images"], "annotations": people, "categories": [PERSON]}
