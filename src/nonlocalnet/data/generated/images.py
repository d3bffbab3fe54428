"""Generated images in COCO's format: a mark at one edge decides the answer at the other edge.

    far cue         +--------------------------------+     far keypoint   +---------------------------------+
                    | #                         o    |                    |  F                           o  |
    a bar, red or   | #                              |     a flag F over  |  =============================   |
    blue, decides   | #                      o       |     or under a     |                              o  |
    the class of    | #                              |     long rod       |                                 |
    the grey discs  +--------------------------------+                    +---------------------------------+

*Far cue.* All discs look alike and each is "warm" or "cold" by the colour of the bar. A detector that does not see the
bar from a disc can find the disc but must toss a coin for its class: each of its two answers is right half the time.

*Far keypoint.* The rod ends in two dots that look alike; the keypoint "plug" is the dot on the flag's side. A head that
does not see the flag from the dots must toss a coin between them.

`nonlocalnet.models.detection.receptive_field` computes how far a detector sees.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from nonlocalnet.data.generated.videos import check_range
from nonlocalnet.system.folders import whole_folder

FAR_CUE_SIZE = (96, 256)
FAR_KEYPOINT_SIZE = (96, 320)
CUE_COLUMNS = (2, 42)
"""Columns of a far-cue image that hold its bar, the second exclusive."""
FLAG_COLUMNS = (10, 34)
"""Columns of a far-keypoint image that its flag lies in."""
SIGMAS = (0.05, 0.05)
"""How far off each of the two keypoints may be, relative to the object, for the object keypoint similarity."""

_GREY = (110, 110, 110)
_DISC = (200, 200, 200)
_CUES = {"warm": (225, 40, 40), "cold": (40, 70, 230)}
_FLAG, _ROD, _DOT = (225, 40, 40), (200, 200, 200), (40, 70, 230)
_NOISE = 6.0
_SPLITS = ("train2017", "val2017")
Pixels = npt.NDArray[np.uint8]


class _Drawn(NamedTuple):
    pixels: Pixels
    annotations: list[dict[str, Any]]


def write_far_cue_images(
    directory: str | Path,
    *,
    num_train: int = 400,
    num_val: int = 100,
    seed: int = 0,
    on_image: Callable[[], None] | None = None,
) -> Path:
    """Write images of discs whose class a bar at the opposite edge decides.

    Args:
        directory: New or empty folder; it becomes a data set in COCO's layout, with `instances_*.json`.
        num_train: Images to train on, at least 1.
        num_val: Images to evaluate on, at least 1.
        seed: Same seed, same images; at least 0.
        on_image: Called after each image.

    Returns:
        The folder.

    Raises:
        ValueError: If an argument is out of range, or the folder is not empty.
    """
    categories = [{"id": i, "name": name, "supercategory": "disc"} for i, name in enumerate(_CUES, start=1)]
    counts = (num_train, num_val)
    return _write(Path(directory), "instances", categories, _far_cue, counts, seed=seed, on_image=on_image)


def write_far_keypoint_images(
    directory: str | Path,
    *,
    num_train: int = 400,
    num_val: int = 100,
    seed: int = 0,
    on_image: Callable[[], None] | None = None,
) -> Path:
    """Write images of a rod, the place of whose second keypoint its first decides; the arguments are as above.

    The file names are those of COCO's persons, `person_keypoints_*.json`.
    """
    category = {
        "id": 1,
        "name": "rod",
        "supercategory": "rod",
        "keypoints": ["flag", "plug"],
        "skeleton": [[1, 2]],
    }
    counts = (num_train, num_val)
    return _write(Path(directory), "person_keypoints", [category], _far_keypoint, counts, seed=seed, on_image=on_image)


def _write(
    target: Path,
    kind: str,
    categories: list[dict[str, Any]],
    draw: Callable[[np.random.Generator, int], _Drawn],
    counts: tuple[int, int],
    *,
    seed: int,
    on_image: Callable[[], None] | None,
) -> Path:
    for name, value, low in (("num_train", counts[0], 1), ("num_val", counts[1], 1), ("seed", seed, 0)):
        check_range(name, value, low, None)
    with whole_folder(target) as staging:
        (staging / "annotations").mkdir()
        for number, (split, count) in enumerate(zip(_SPLITS, counts, strict=True)):
            (staging / split).mkdir()
            content: dict[str, Any] = {"info": {"description": f"generated, {kind}"}, "images": [], "annotations": []}
            for index in range(count):
                drawn = draw(np.random.default_rng([seed, number, index]), index)
                _save(staging / split, content, drawn)
                if on_image is not None:
                    on_image()
            content["categories"] = categories
            (staging / "annotations" / f"{kind}_{split}.json").write_text(json.dumps(content))
    return target


def _save(folder: Path, content: dict[str, Any], drawn: _Drawn) -> None:
    number = len(content["images"]) + 1
    name = f"{number:012d}.png"
    height, width = drawn.pixels.shape[:2]
    Image.fromarray(drawn.pixels).save(folder / name, compress_level=1)
    content["images"].append({"id": number, "file_name": name, "height": height, "width": width})
    for annotation in drawn.annotations:
        own = len(content["annotations"]) + 1
        content["annotations"].append({"id": own, "image_id": number, "iscrowd": 0, **annotation})


def _far_cue(rng: np.random.Generator, index: int) -> _Drawn:
    height, width = FAR_CUE_SIZE
    category = index % 2
    picture = Image.new("RGB", (width, height), _GREY)
    pen = ImageDraw.Draw(picture)
    top = int(rng.integers(2, 20))
    pen.rectangle((CUE_COLUMNS[0], top, CUE_COLUMNS[1] - 1, top + 70), fill=list(_CUES.values())[category])
    annotations = []
    # One disc in the upper half, one in the lower, or either.
    for half in rng.permutation(2)[: rng.integers(1, 3)]:
        radius = float(rng.uniform(9, 13))
        x = float(rng.uniform(width - 42, width - 15))
        y = float(rng.uniform(radius + 3, height / 2 - radius - 3)) + float(half) * height / 2
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_DISC)
        annotations.append({"category_id": category + 1, **_disc(x, y, radius)})
    return _Drawn(_noisy(picture, rng), annotations)


def _far_keypoint(rng: np.random.Generator, index: int) -> _Drawn:
    height, width = FAR_KEYPOINT_SIZE
    flag_side = -1 if index % 2 else 1
    picture = Image.new("RGB", (width, height), _GREY)
    pen = ImageDraw.Draw(picture)
    left, right = float(rng.integers(FLAG_COLUMNS[0], 16)), float(width - rng.integers(12, 22))
    middle, reach = float(rng.integers(40, 57)), float(rng.integers(18, 25))
    pen.rectangle((left, middle - 3, right - 8, middle + 3), fill=_ROD)
    flag = (left + 8, middle + flag_side * reach)
    pen.rectangle((flag[0] - 8, flag[1] - 8, flag[0] + 8, flag[1] + 8), fill=_FLAG)
    for side in (-1, 1):
        pen.ellipse((right - 14, middle + side * reach - 7, right, middle + side * reach + 7), fill=_DOT)
    plug = (right - 7, middle + flag_side * reach)
    box = [left, middle - reach - 8, right - left + 1, 2 * (reach + 8) + 1]
    annotation = {
        "category_id": 1,
        "bbox": box,
        "area": box[2] * box[3],
        "keypoints": [*(round(value) for value in flag), 2, *(round(value) for value in plug), 2],
        "num_keypoints": 2,
    }
    return _Drawn(_noisy(picture, rng), [annotation])


def _disc(x: float, y: float, radius: float) -> dict[str, Any]:
    angles = [2 * math.pi * i / 24 for i in range(24)]
    polygon = [value for a in angles for value in (x + radius * math.cos(a), y + radius * math.sin(a))]
    box = [x - radius, y - radius, 2 * radius, 2 * radius]
    return {"bbox": box, "area": math.pi * radius**2, "segmentation": [polygon]}


def _noisy(picture: Image.Image, rng: np.random.Generator) -> Pixels:
    pixels = np.asarray(picture, dtype=np.float32)
    return (pixels + rng.normal(0, _NOISE, pixels.shape)).clip(0, 255).round().astype(np.uint8)
