"""Annotation files: what is read, and what every kind of bad file says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from make_images import PERSON, rectangle, small_content, small_people, write_split
from nonlocalnet.data.coco.annotation_file import load_coco
from nonlocalnet.data.coco.labels import Labels


def load(root: Path, kind: Any = "masks") -> Any:
    name = "instances" if kind == "masks" else "person_keypoints"
    return load_coco(root / f"annotations/{name}_train2017.json", images=root / "train2017", kind=kind)


def test_images_and_annotations_are_brought_together(tmp_path: Path) -> None:
    content = small_content()
    content["annotations"].append(rectangle(9, 2, (1, 2, 3, 4)))
    content["images"].append({"id": 77, "height": 20, "width": 30})
    write_split(tmp_path, "train2017", content)
    found = load(tmp_path)
    assert [image.id for image in found.images] == [1, 2, 3, 4, 77]
    assert [a["id"] for a in found.images[1].annotations] == [2, 9]
    assert found.images[4].annotations == ()
    assert (found.images[4].height, found.images[4].width) == (20, 30)
    assert [c["name"] for c in found.categories] == ["cat", "dog"]


def test_keypoints_have_names(tmp_path: Path) -> None:
    write_split(tmp_path, "train2017", small_people(), kind="person_keypoints")
    assert load(tmp_path, "keypoints").keypoint_names == ("nose", "left_eye", "right_eye")


@pytest.mark.parametrize("visibility", [1.5, 3, -1, "x"])
def test_visibility_is_0_1_or_2(tmp_path: Path, visibility: object) -> None:
    content = small_people()
    content["annotations"][1]["keypoints"][2] = visibility
    write_split(tmp_path, "train2017", content, kind="person_keypoints")
    with pytest.raises(ValueError, match=r"annotation 2: keypoints must be"):
        load(tmp_path, "keypoints")


def change(path: tuple[Any, ...], value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(content: dict[str, Any]) -> None:
        place: Any = content
        for step in path[:-1]:
            place = place[step]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            change(("annotations", 1, "image_id"), 99),
            "annotation 2 names image 99, which is not among the file's images",
        ),
        (change(("annotations", 1, "category_id"), 5), "annotation 2 names category 5, which is not among its categ"),
        (change(("annotations", 1, "id"), 1), "the annotation id 1 stands 2 times; ids must be unique"),
        (change(("images", 1, "id"), 1), "the image id 1 stands 2 times"),
        (change(("annotations", 0, "bbox"), [1, 2, 3]), r"annotation 1: bbox must be four numbers .* got \[1, 2, 3\]"),
        (change(("annotations", 0, "bbox"), None), "an entry of 'annotations' has no 'bbox'"),
        (change(("annotations", 0, "segmentation"), []), "annotation 1 has no segmentation .* which masks need"),
        (change(("categories",), None), "not in COCO's format: it has no list 'categories'"),
        (change(("images",), []), "holds no images|names image 1"),
        (change(("images", 0), 3), "an entry of 'images' has no 'id'"),
    ],
)
def test_a_bad_file_names_what_is_wrong(tmp_path: Path, spoil: Callable[[dict[str, Any]], None], message: str) -> None:
    path = write_split(tmp_path, "train2017", small_content())
    import json

    content = json.loads(path.read_text())
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path)
    assert str(path) in str(caught.value)


def test_a_truncated_file(tmp_path: Path) -> None:
    path = write_split(tmp_path, "train2017", small_content())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"is not whole JSON \(200 bytes; .*\): is the download complete\?"):
        load(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"not whole JSON \(0 bytes"):
        load(tmp_path)


def test_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"instances_train2017\.json: there is no such annotation file"):
        load(tmp_path)
    path = write_split(tmp_path, "train2017", small_content())
    (tmp_path / "train2017" / "000000000003.png").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"000000000003.png: there is no such image, which .* names with id 3 \(1 of"
    ):
        load(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such folder; it should hold the images of"):
        load_coco(path, images=tmp_path / "nowhere", kind="masks")


def test_a_file_of_keypoints_given_for_masks_and_the_reverse(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    people = small_people()
    write_split(tmp_path, "train2017", people)
    assert len(load(tmp_path).images) == 4  # COCO's has masks of persons: usable, but hardly meant
    assert "is a file of keypoints: it has masks, but of its own categories only" in caplog.text
    for annotation in people["annotations"]:
        del annotation["segmentation"]
    write_split(tmp_path, "train2017", people)
    with pytest.raises(
        ValueError, match="is a file of keypoints, and annotation 1 has no segmentation: masks need inst"
    ):
        load(tmp_path)
    write_split(tmp_path, "train2017", small_content(), kind="person_keypoints")
    with pytest.raises(ValueError, match=r"is no file of keypoints: its categories must all have .* person_keypoints_"):
        load(tmp_path, "keypoints")
    people["annotations"][2]["keypoints"] = [1, 2, 2]
    write_split(tmp_path, "train2017", people, kind="person_keypoints")
    with pytest.raises(ValueError, match=r"annotation 3 must have 9 keypoint numbers, .* of 3 each, but has 3"):
        load(tmp_path, "keypoints")


def test_labels_are_the_original_ids_where_they_fit() -> None:
    categories = [{"id": 18, "name": "dog"}, {"id": 1, "name": "cat"}]
    original = Labels.of_categories(categories, num_classes=91, source="a.json")
    assert original.category_ids == {1: 1, 18: 18}
    numbered = Labels.of_categories(categories, num_classes=3, source="a.json")
    assert numbered.category_ids == {1: 1, 2: 18}
    assert numbered.names == {1: "cat", 2: "dog"}
    assert Labels.from_plain(numbered.plain()) == numbered
    with pytest.raises(ValueError, match=r"a\.json has 2 categories, but the detector 2 classes .* to at least 3"):
        Labels.of_categories(categories, num_classes=2, source="a.json")


def test_another_files_categories_must_be_known() -> None:
    labels = Labels.of_categories([{"id": 1, "name": "cat"}], num_classes=91, source="a.json")
    labels.require([{"id": 1, "name": "cat"}], source="b.json")
    with pytest.raises(
        ValueError, match=r"b.json: category 2 \(dog\) is none of those that the detector knows: 1 \(cat\)"
    ):
        labels.require([{"id": 2, "name": "dog"}], source="b.json")
    with pytest.raises(ValueError, match="category 1 is 'kitten' here, and 'cat' where the detector is trained"):
        labels.require([{"id": 1, "name": "kitten"}], source="b.json")


def test_persons_are_a_category_of_their_own() -> None:
    assert Labels.of_categories([PERSON], num_classes=2, source="a").category_ids == {1: 1}
