"""What a file in COCO's format says, as records of known types.

They are dictionaries with COCO's own names, since the evaluators take these; what no record names is not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from typing_extensions import NotRequired

Kind = Literal["masks", "keypoints"]


class RunLengths(TypedDict):
    """A mask as run lengths over its columns; "counts" is the list, or its compressed text."""

    size: list[int]
    counts: list[int] | str


Segmentation = list[list[float]] | RunLengths


class Annotation(TypedDict):
    """An object: "bbox" is [x, y, width, height] in pixels, "iscrowd" 0 or 1, "keypoints" x, y, visibility of each."""

    id: int
    image_id: int
    category_id: int
    bbox: list[float]
    area: float
    iscrowd: int
    segmentation: NotRequired[Segmentation]
    keypoints: NotRequired[list[float]]
    num_keypoints: NotRequired[int]


class Category(TypedDict):
    """A class of objects; "skeleton" is pairs of its keypoints, counted from 1."""

    id: int
    name: str
    keypoints: NotRequired[list[str]]
    skeleton: NotRequired[list[list[int]]]


class ImageEntry(TypedDict):
    """A picture: height and width in pixels."""

    id: int
    height: int
    width: int
    file_name: NotRequired[str]


@dataclass(frozen=True)
class CocoContent:
    """A whole file, checked: ids are unique, and every annotation's image and category are there.

    Attributes:
        images: In the file's order.
        annotations: Alike; empty where `annotated` is false.
        categories: Alike.
        annotated: Whether the file has annotations at all; COCO's image_info_test-dev2017.json has none.
    """

    images: tuple[ImageEntry, ...]
    annotations: tuple[Annotation, ...]
    categories: tuple[Category, ...]
    annotated: bool = True


@dataclass(frozen=True)
class CocoImage:
    """One picture and what is annotated in it.

    Attributes:
        id: Its id in the file.
        path: The picture.
        height: In pixels.
        width: In pixels.
        annotations: Its objects.
    """

    id: int
    path: Path
    height: int
    width: int
    annotations: tuple[Annotation, ...]


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
    content: CocoContent
    keypoint_names: tuple[str, ...] = ()

    @property
    def categories(self) -> tuple[Category, ...]:
        """The categories in the file."""
        return self.content.categories

    def require_annotations(self) -> None:
        """Check that there is something to train on, or to compare with.

        Raises:
            ValueError: There is no annotation at all.
        """
        if not self.content.annotated:
            raise ValueError(
                f"{self.source} holds no annotations, so a detector can neither be trained nor validated on it: "
                "`nonlocalnet test` writes its detections"
            )
