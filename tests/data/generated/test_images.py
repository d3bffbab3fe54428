"""The generated images: balanced, valid, and with the cue where it is said to be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nonlocalnet.data.coco.annotation_file import load_coco
from nonlocalnet.data.coco.targets import make_target
from nonlocalnet.data.generated.images import (
    CUE_COLUMNS,
    FAR_CUE_SIZE,
    FLAG_COLUMNS,
    write_far_cue_images,
    write_far_keypoint_images,
)


@pytest.fixture(scope="module")
def far_cue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_far_cue_images(tmp_path_factory.mktemp("cue") / "data", num_train=12, num_val=6)


@pytest.fixture(scope="module")
def far_keypoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_far_keypoint_images(tmp_path_factory.mktemp("keypoint") / "data", num_train=12, num_val=6)


def test_only_the_cue_tells_the_class(far_cue: Path) -> None:
    images = load_coco(far_cue / "annotations/instances_train2017.json", images=far_cue / "train2017", kind="masks")
    classes = []
    for image in images.images:
        pixels = np.asarray(Image.open(image.path)).astype(int)
        assert pixels.shape == (*FAR_CUE_SIZE, 3)
        (category,) = {a["category_id"] for a in image.annotations}
        classes.append(category)
        coloured = np.abs(pixels[..., 0] - pixels[..., 2]) > 100
        columns = np.flatnonzero(coloured.any(0))
        assert (columns[0], columns[-1] + 1) == CUE_COLUMNS
        bar = pixels[coloured].mean(0)
        assert (bar[0] > bar[2]) == (category == 1)
        target = make_target(image, kind="masks", labels={1: 1, 2: 2})
        for box, mask in zip(target["boxes"], target["masks"], strict=True):
            assert box[0] > 180
            disc = pixels[mask.numpy() == 1]
            assert abs(disc.mean() - 200) < 12
            assert np.ptp(disc.mean(0)) < 6  # grey, whatever the class
    assert classes.count(1) == classes.count(2) == 6


def test_the_plug_is_on_the_flags_side(far_keypoint: Path) -> None:
    path = far_keypoint / "annotations/person_keypoints_val2017.json"
    images = load_coco(path, images=far_keypoint / "val2017", kind="keypoints")
    sides = []
    for image in images.images:
        ((flag_x, flag_y, _), (plug_x, plug_y, _)) = make_target(image, kind="keypoints", labels={1: 1})["keypoints"][0]
        assert abs(flag_y - plug_y) < 1.5
        assert FLAG_COLUMNS[0] <= flag_x - 8 < flag_x + 8 < FLAG_COLUMNS[1]
        assert plug_x > 280
        pixels = np.asarray(Image.open(image.path)).astype(int)
        flag = pixels[int(flag_y), int(flag_x)]
        mirrored = pixels[int(plug_y), int(plug_x)], pixels[int(2 * _middle(pixels) - plug_y), int(plug_x)]
        assert flag[0] > flag[2]
        assert all(dot[2] > dot[0] for dot in mirrored)  # both dots are there and alike
        sides.append(bool(flag_y < _middle(pixels)))
    assert sides.count(True) == sides.count(False)


def _middle(pixels: np.ndarray) -> float:
    rod = np.flatnonzero(np.abs(pixels[:, 150].mean(1) - 200) < 30)
    return float(rod.mean())


def test_same_seed_same_images(far_cue: Path, tmp_path: Path) -> None:
    again = write_far_cue_images(tmp_path / "again", num_train=3, num_val=1)
    other = write_far_cue_images(tmp_path / "other", num_train=3, num_val=1, seed=1)
    name = "train2017/000000000002.png"
    assert (again / name).read_bytes() == (far_cue / name).read_bytes() != (other / name).read_bytes()
    annotations = json.loads((again / "annotations/instances_train2017.json").read_text())
    assert [image["id"] for image in annotations["images"]] == [1, 2, 3]


def test_refusals(tmp_path: Path, far_cue: Path) -> None:
    with pytest.raises(ValueError, match="num_val must be at least 1, got 0"):
        write_far_cue_images(tmp_path / "a", num_val=0)
    with pytest.raises(ValueError, match="exists and is not empty"):
        write_far_keypoint_images(far_cue)
    assert not (tmp_path / "a").exists()
