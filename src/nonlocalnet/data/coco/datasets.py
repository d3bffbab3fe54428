"""Images with their targets: the data sets that a detector trains and is evaluated on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from nonlocalnet.data.coco.flipping import FlipPairs, flip, partners_for_flipping
from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.data.coco.records import Annotation, CocoSet, Kind
from nonlocalnet.data.coco.targets import is_trainable, make_target, trainable_annotations
from nonlocalnet.data.pixels.read_image import read_image

log = logging.getLogger(__name__)


class TrainImages(Dataset[dict[str, Any]]):
    """The images of a set that have something to train on; an item is a function of (seed, epoch, index).

    Images without an object (for keypoints: without a visible keypoint) are left out, as are crowds and boxes without
    area. Items are {"image": uint8 (3, H, W), "target", "image_id"}; images keep their size, which the detector's own
    transform changes.

    Args:
        images: The set.
        labels: The detector's.
        flip: Probability of mirroring, in [0, 1].
        seed: At least 0.
        flip_pairs: Keypoints that change places in the mirror, as `partners_for_flipping` takes them.

    Raises:
        ValueError: If nothing can be trained on, or keypoints are to be mirrored without a known pair.
    """

    def __init__(
        self, images: CocoSet, labels: Labels, *, flip: float, seed: int, flip_pairs: FlipPairs | None = None
    ) -> None:
        images.require_annotations()
        trainable = trainable_annotations(images.images)
        _warn_of_lost_boxes(images, trainable)
        self.kind: Kind = images.kind
        self.images = tuple(
            image for image, kept in zip(images.images, trainable, strict=True) if is_trainable(kept, images.kind)
        )
        if not self.images:
            raise ValueError(f"{images.source}: none of its {len(images.images)} images has an object to train on")
        if len(self.images) < len(images.images):
            left_out = len(images.images) - len(self.images)
            log.info("%s: %d images without an object are left out of training", images.source, left_out)
        self.labels = labels.by_category
        self.flip = flip
        self.seed = seed
        self.partners = partners_for_flipping(images, flip_pairs) if flip > 0 else []

    def __len__(self) -> int:
        return len(self.images)

    @property
    def is_wide(self) -> list[bool]:
        """For every image, whether it is at least as wide as it is high."""
        return [image.width >= image.height for image in self.images]

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, index = key
        record = self.images[index]
        image = read_image(record.path, size=(record.height, record.width))
        target = make_target(record, kind=self.kind, labels=self.labels)
        if np.random.default_rng([self.seed, epoch, index]).random() < self.flip:
            image, target = flip(image, target, partners=self.partners)
        return {"image": image, "target": target, "image_id": record.id}


class TestImages(Dataset[dict[str, Any]]):
    """One process's share of the images to evaluate on.

    Every process gets as many items, because the processes run their batches in step; an item beyond the end repeats
    the last image with "counted" false. Items are {"image": uint8 (3, H, W), "image_id", "counted"}.

    Args:
        images: The set.
        positions: Which of its images.
        rank: Number of this process.
        world_size: Number of processes.
    """

    __test__ = False  # the name is not a pytest class

    def __init__(self, images: CocoSet, *, positions: list[int], rank: int = 0, world_size: int = 1) -> None:
        self.images = images.images
        self.positions = positions
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return -(-len(self.positions) // self.world_size)

    def __getitem__(self, index: int) -> dict[str, Any]:
        place = index * self.world_size + self.rank
        record = self.images[self.positions[min(place, len(self.positions) - 1)]]
        image = read_image(record.path, size=(record.height, record.width))
        return {"image": image, "image_id": record.id, "counted": place < len(self.positions)}


def collate(items: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """A batch of images of different sizes: lists, since they do not stack."""
    return {name: [item[name] for item in items] for name in items[0]}


def _warn_of_lost_boxes(images: CocoSet, trainable: Sequence[Sequence[Annotation]]) -> None:
    lost = [
        (image, annotation)
        for image, kept in zip(images.images, trainable, strict=True)
        for annotation in image.annotations
        if not annotation["iscrowd"] and annotation not in kept
    ]
    if lost:
        image, annotation = lost[0]
        log.warning(
            "%s: %d boxes have no area inside their image, in float32, and are not trained on; the first is bbox %s of "
            "annotation %d in image %d (%s)",
            images.source,
            len(lost),
            annotation["bbox"],
            annotation["id"],
            image.id,
            image.path,
        )
