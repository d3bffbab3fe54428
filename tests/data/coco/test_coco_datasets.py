"""What a detector trains on: targets, masks of every form, flips, and batches of one orientation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from make_images import PERSON, person, rectangle, small_content, small_people, write_split
from nonlocalnet.data.coco.annotation_file import load_coco
from nonlocalnet.data.coco.aspect_batches import AspectRatioBatchSampler
from nonlocalnet.data.coco.datasets import TestImages, TrainImages, collate
from nonlocalnet.data.coco.flipping import flip, flip_partners
from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.data.coco.masks import decode_mask
from nonlocalnet.data.coco.records import CocoSet


def written(root: Path, content: dict[str, Any], kind: Any = "masks") -> CocoSet:
    name = "instances" if kind == "masks" else "person_keypoints"
    path = write_split(root, "train2017", content, kind=name)
    return load_coco(path, images=root / "train2017", kind=kind)


def train_images(images: CocoSet, *, flip: float = 0.0, num_classes: int = 91, seed: int = 0) -> TrainImages:
    labels = Labels.of_categories(images.categories, num_classes=num_classes, source=images.source)
    return TrainImages(images, labels, flip=flip, seed=seed)


def test_a_target_is_torchvisions(tmp_path: Path) -> None:
    item = train_images(written(tmp_path, small_content()))[0, 2]
    assert item["image"].shape == (3, 48, 64)
    assert item["image_id"] == 3
    target = item["target"]
    assert target["boxes"].tolist() == [[8, 10, 38, 34]]
    assert target["labels"].tolist() == [18]
    expected = torch.zeros(48, 64)
    expected[10:34, 8:38] = 1
    assert torch.equal(target["masks"][0].float(), expected)


def test_crowds_boxes_without_area_and_images_without_objects_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    content = small_content(images=3)
    runs = {"size": [48, 64], "counts": [0, 48 * 64]}
    content["annotations"] += [
        {**rectangle(10, 1, (0, 0, 64, 48)), "iscrowd": 1, "segmentation": runs},
        rectangle(11, 1, (5, 5, 0, 10)),
        rectangle(12, 1, (70, 5, 10, 10)),  # outside
        rectangle(13, 1, (50, 30, 30, 30)),  # reaches over the edge: clipped
    ]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != 2]
    runs = {"size": [64, 48], "counts": [0, 48 * 64]}
    content["annotations"].append({**rectangle(14, 2, (0, 0, 9, 9)), "iscrowd": 1, "segmentation": runs})
    images = written(tmp_path, content)
    data = train_images(images)
    assert [data[0, i]["image_id"] for i in range(len(data))] == [1, 3]
    assert data[0, 0]["target"]["boxes"].tolist() == [[8, 10, 38, 34], [50, 30, 64, 48]]
    assert "1 images without an object are left out of training" in caplog.text
    assert len(TestImages(images, positions=[0, 1, 2])) == 3  # but all are evaluated
    with pytest.raises(ValueError, match="none of its 1 images has an object to train on"):
        train_images(CocoSet(images.source, "masks", images.images[1:2], images.content))


def test_persons_without_a_visible_keypoint_make_no_image_to_train_on(tmp_path: Path) -> None:
    content = small_people(images=2)
    content["annotations"][0] = person(1, 1, (8, 10, 30, 24), [0] * 9)
    data = train_images(written(tmp_path, content, "keypoints"), num_classes=2)
    assert len(data) == 1
    assert data[0, 0]["target"]["keypoints"].tolist() == [[[20, 20, 2], [14, 15, 2], [26, 15, 1]]]


def test_masks_of_every_form_are_the_same() -> None:
    bitmap = np.zeros((20, 30), dtype=np.uint8)
    bitmap[4:10, 6:15] = 1
    compressed: Any = coco_mask.encode(np.asfortranarray(bitmap))
    lengths, run, value = [], 0, 0
    for pixel in bitmap.flatten(order="F"):
        if pixel != value:
            lengths.append(run)
            run, value = 0, pixel
        run += 1
    polygon = [[6, 4, 15, 4, 15, 10, 6, 10]]
    forms = [
        polygon,
        {"size": [20, 30], "counts": [*lengths, run]},
        compressed,
        {"size": [20, 30], "counts": compressed["counts"].decode()},
        [[6, 4, 10, 4, 10, 10, 6, 10], [10, 4, 15, 4, 15, 10, 10, 10]],
    ]
    for form in forms:
        assert np.array_equal(decode_mask(form, height=20, width=30), bitmap)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 2, 3, 4]], "polygons with at least 3 points each"),
        ("text", "must be a list of polygons"),
        ({"counts": [3]}, "must be a list of polygons"),
        ({"size": [5, 5], "counts": [25]}, r"a mask of size \[5, 5\] does not fit its image of \[20, 30\]"),
    ],
)
def test_masks_of_no_form(segmentation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_mask(segmentation, height=20, width=30)


def test_flipping_mirrors_everything_and_swaps_left_and_right() -> None:
    image = torch.arange(3 * 4 * 10).reshape(3, 4, 10)
    masks = torch.zeros(1, 4, 10, dtype=torch.uint8)
    masks[0, 1:3, 2:5] = 1
    target = {
        "boxes": torch.tensor([[2.0, 1.0, 5.0, 3.0]]),
        "labels": torch.tensor([1]),
        "masks": masks,
        "keypoints": torch.tensor([[[3.0, 1, 2], [2, 1, 2], [0, 0, 0]]]),
    }
    partners = flip_partners(PERSON["keypoints"])
    mirrored_image, mirrored = flip(image, target, partners=partners)
    assert torch.equal(mirrored_image, image.flip(-1))
    assert mirrored["boxes"].tolist() == [[5.0, 1.0, 8.0, 3.0]]
    assert mirrored["masks"][0].nonzero()[:, 1].unique().tolist() == [5, 6, 7]
    # The nose at pixel 3 is at 10 - 1 - 3; the left eye's mark is the right one's; what is not marked stays zero.
    assert mirrored["keypoints"].tolist() == [[[6.0, 1, 2], [0, 0, 0], [7, 1, 2]]]
    again = flip(mirrored_image, mirrored, partners=partners)
    assert torch.equal(again[0], image)
    assert all(torch.equal(again[1][name], target[name]) for name in target)


def test_flip_partners_of_coco() -> None:
    names = ["nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"]
    assert flip_partners(names) == [0, 2, 1, 4, 3, 6, 5]
    assert flip_partners(["left", "top"]) == [0, 1]  # without a partner it is its own


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("L_Eye", "R_Eye"),
        ("Left Eye", "Right Eye"),
        ("LEFT-EYE", "RIGHT-EYE"),
        ("l_eye", "r_eye"),
        ("eye_l", "eye_r"),
        ("Eye.L", "Eye.R"),
        ("eye L", "eye R"),
        ("LEye", "REye"),
        ("eyeL", "eyeR"),
        ("lefteye", "righteye"),
        ("EyeLeft", "EyeRight"),
        ("eye_l_1", "eye_r_1"),
        ("L_eye", "r_eye"),
        ("l", "R"),
    ],
)
def test_sides_are_told_by_any_spelling(left: str, right: str) -> None:
    assert flip_partners(["Nose", left, right, "tail"]) == [0, 2, 1, 3]


def test_letters_inside_words_are_no_sides() -> None:
    assert flip_partners(["lip", "rip", "elbow", "erbow", "lamp", "ramp"]) == [0, 1, 2, 3, 4, 5]


def people_with(root: Path, names: list[str]) -> CocoSet:
    content = small_people()
    content["categories"] = [{**PERSON, "keypoints": names}]
    return written(root, content, "keypoints")


def test_a_flip_needs_a_pair(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = people_with(tmp_path, ["nose", "eye1", "eye2"])
    labels = Labels.of_categories(images.categories, num_classes=2, source="a")
    with pytest.raises(ValueError, match=r"no keypoint has another side by its name \(nose, eye1, eye2\).*data\.flip"):
        TrainImages(images, labels, flip=0.5, seed=0)
    assert len(TrainImages(images, labels, flip=0.0, seed=0)) == 4
    assert TrainImages(images, labels, flip=0.5, seed=0, flip_pairs=[]).partners == [0, 1, 2]
    data = TrainImages(images, labels, flip=1.0, seed=0, flip_pairs=[("eye2", "eye1")])
    assert data.partners == [0, 2, 1]
    assert data[0, 0]["target"]["keypoints"].tolist() == [[[43, 20, 2], [37, 15, 1], [49, 15, 2]]]
    for pairs, message in (
        ([("eye1", "eye3")], "data.flip_pairs names 'eye3', but the keypoints of .* are nose, eye1, eye2"),
        ([("eye1", "eye2"), ("nose", "eye2")], "data.flip_pairs names 'eye2' 2 times"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainImages(images, labels, flip=0.5, seed=0, flip_pairs=pairs)
    assert caplog.text == ""
    half = people_with(tmp_path, ["L_Eye", "R_Eye", "left_ear"])
    assert TrainImages(half, labels, flip=0.5, seed=0).partners == [1, 0, 2]
    assert "left_ear has a side by its name but no partner" in caplog.text


def test_boxes_survive_clipping_scaling_and_mirroring_in_float32(tmp_path: Path) -> None:
    """What is kept to train on has two edges after any resizing that a detector does, and its mirror image."""
    content = small_content(images=1)
    content["annotations"] += [rectangle(10 + i, 1, (64 - 2.0**-i, 10, 5, 20)) for i in range(8, 26)] + [
        rectangle(40 + i, 1, (-500.3, 5, 500.3 + 2.0**-i, 20)) for i in range(8, 26)
    ]
    target = train_images(written(tmp_path, content), flip=1.0)[0, 0]["target"]
    assert 10 < len(target["boxes"]) < 30
    for side in (48, 533, 800, 1333, 4000):
        scaled = target["boxes"] * (torch.tensor(side) / torch.tensor(64))
        assert (scaled[:, 2:] > scaled[:, :2]).all()
        assert (side - scaled[:, 0] > side - scaled[:, 2]).all()


def test_items_are_a_function_of_seed_epoch_and_index(tmp_path: Path) -> None:
    images = written(tmp_path, small_content())
    data = train_images(images, flip=0.5)
    keys = [(epoch, index) for epoch in range(8) for index in range(4)]
    flipped = [data[key]["target"]["boxes"][0, 0] != 8 for key in keys]
    assert 6 < sum(flipped) < 26
    assert flipped == [train_images(images, flip=0.5)[key]["target"]["boxes"][0, 0] != 8 for key in keys]
    assert flipped != [train_images(images, flip=0.5, seed=1)[key]["target"]["boxes"][0, 0] != 8 for key in keys]
    assert not any(train_images(images)[key]["target"]["boxes"][0, 0] != 8 for key in keys)


def test_shares_of_an_evaluation_hold_every_image_once(tmp_path: Path) -> None:
    images = written(tmp_path, small_content(images=5))
    for world_size in (1, 2, 3):
        shares = [
            TestImages(images, positions=list(range(5)), rank=r, world_size=world_size) for r in range(world_size)
        ]
        assert len({len(share) for share in shares}) == 1
        items = [share[i] for share in shares for i in range(len(share))]
        assert sorted(item["image_id"] for item in items if item["counted"]) == [1, 2, 3, 4, 5]
    batch = collate([items[0], items[1]])
    assert [image.shape for image in batch["image"]] == [item["image"].shape for item in items[:2]]


@settings(max_examples=30, deadline=None)
@given(
    wide=st.lists(st.booleans(), min_size=1, max_size=20),
    size=st.sampled_from([2, 4]),
    start=st.integers(0, 6),
    seed=st.integers(0, 3),
)
def test_batches_are_of_one_orientation_resume_anywhere_and_lose_no_image(
    wide: list[bool], size: int, start: int, seed: int
) -> None:
    def batches(**where: int) -> list[list[tuple[int, int]]]:
        return list(AspectRatioBatchSampler(wide, global_batch_size=size, total_steps=12, seed=seed, **where))

    whole = batches()
    assert len(whole) == 12
    assert all(len(batch) == size and len({wide[index] for _, index in batch}) == 1 for batch in whole)
    assert batches(start_step=start) == whole[start:]
    halves = [batches(rank=rank, world_size=2) for rank in range(2)]
    assert [one + other for one, other in zip(*halves, strict=True)] == whole
    drawn = [key for batch in whole for key in batch]
    assert len(set(drawn)) == len(drawn)
    # At most one unfinished batch of each orientation waits: no image falls behind by more than that.
    for group in (True, False):
        members = [i for i, w in enumerate(wide) if w is group]
        keys = [key for key in drawn if key[1] in members]
        epochs = [epoch for epoch, _ in keys]
        assert epochs == sorted(epochs)


def test_text_in_another_encoding_is_named_as_such(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes('{"images": [], "categories": [{"id": 1, "name": "caf\u00e9"}]}'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.json is not UTF-8 text \(byte \d+\); save it as UTF-8"):
        load_coco(path, images=tmp_path, kind="masks")
