"""What is annotated in an image, as the tensors that torchvision's detectors train on; and its mirror image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as v2

from nonlocalnet.data.coco.annotation_file import CocoImage, Kind

Target = dict[str, Tensor]


def trainable_annotations(image: CocoImage) -> list[dict[str, Any]]:
    """The annotations to train on: no crowds, and no boxes without area inside the image.

    Both stay in the evaluation, where crowds are ignored as COCO has it.
    """
    return [a for a in image.annotations if not a.get("iscrowd") and _has_area(a["bbox"], image)]


def is_trainable(image: CocoImage, kind: Kind) -> bool:
    """Whether an image has anything to train on: for keypoints, a visible one."""
    annotations = trainable_annotations(image)
    if kind == "masks":
        return bool(annotations)
    return any(visibility > 0 for a in annotations for visibility in a["keypoints"][2::3])


def make_target(image: CocoImage, *, kind: Kind, labels: Mapping[int, int]) -> Target:
    """The target of an image.

    Args:
        image: The image, annotated.
        kind: "masks" or "keypoints".
        labels: The label of each category id.

    Returns:
        ``boxes`` (N, 4) float x1, y1, x2, y2, clipped to the image; ``labels`` (N,); and ``masks`` uint8 (N, H, W), or
        ``keypoints`` float (N, K, 3) as x, y, visibility.
    """
    annotations = trainable_annotations(image)
    boxes_xywh = torch.tensor([a["bbox"] for a in annotations], dtype=torch.float32).reshape(-1, 4)
    boxes = torch.cat([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], dim=1)
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, image.width)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, image.height)
    target = {
        "boxes": boxes,
        "labels": torch.tensor([labels[a["category_id"]] for a in annotations], dtype=torch.int64),
    }
    if kind == "masks":
        masks = [decode_mask(a["segmentation"], height=image.height, width=image.width) for a in annotations]
        empty = np.zeros((0, image.height, image.width), dtype=np.uint8)
        target["masks"] = torch.from_numpy(np.stack(masks) if masks else empty)
    else:
        keypoints = torch.tensor([a["keypoints"] for a in annotations], dtype=torch.float32)
        target["keypoints"] = keypoints.reshape(len(annotations), -1, 3)
    return target


def decode_mask(segmentation: Any, *, height: int, width: int) -> np.ndarray:
    """A segmentation of COCO's format as a bitmap.

    Args:
        segmentation: A list of polygons [x1, y1, x2, y2, ...], or run lengths: {"size", "counts"} with a list or the
            compressed text.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        uint8 (height, width) of 0 and 1.

    Raises:
        ValueError: If it is none of these, or of another size.
    """
    if isinstance(segmentation, list) and all(isinstance(p, list) and len(p) >= 6 for p in segmentation):
        encoded: Any = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation, dict) and {"size", "counts"} <= segmentation.keys():
        if list(segmentation["size"]) != [height, width]:
            raise ValueError(
                f"a mask of size {segmentation['size']} does not fit its image of [{height}, {width}] (height, width)"
            )
        runs: Any = segmentation
        encoded = coco_mask.frPyObjects(runs, height, width) if isinstance(runs["counts"], list) else runs
    else:
        raise ValueError(
            "a segmentation must be a list of polygons with at least 3 points each, or run lengths with 'size' and "
            f"'counts', got {str(segmentation)[:80]}"
        )
    return coco_mask.decode(encoded)


def flip(image: Tensor, target: Target, *, partners: Sequence[int]) -> tuple[Tensor, Target]:
    """Mirror an image and its target from left to right.

    Args:
        image: (3, H, W).
        target: The target of that image.
        partners: For every keypoint the index of its other side, itself where it has none (`flip_partners`).

    Returns:
        The mirror images. Pixel x becomes W - 1 - x, an edge at x becomes W - x.
    """
    height, width = image.shape[-2:]
    boxes = tv_tensors.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=(height, width))  # pyright: ignore
    mirrored = {**target, "boxes": v2.horizontal_flip(boxes).as_subclass(Tensor)}
    if "masks" in target:
        mirrored["masks"] = target["masks"].flip(-1)
    if "keypoints" in target:
        # torchvision's v2 transforms know no keypoints that belong in pairs.
        keypoints = target["keypoints"][:, list(partners)].clone()
        keypoints[..., 0] = width - 1 - keypoints[..., 0]
        keypoints[keypoints[..., 2] == 0] = 0  # COCO writes zeros where nothing is marked
        mirrored["keypoints"] = keypoints
    return image.flip(-1), mirrored


def flip_partners(names: Sequence[str]) -> list[int]:
    """For every keypoint the index of the one it becomes in the mirror, by "left" and "right" in the names.

    >>> flip_partners(["nose", "left_eye", "right_eye"])
    [0, 2, 1]
    """
    other = [n.replace("left", "\0").replace("right", "left").replace("\0", "right") for n in names]
    return [names.index(partner) if partner in names else i for i, partner in enumerate(other)]


def _has_area(box: Sequence[float], image: CocoImage) -> bool:
    x, y, width, height = box
    return (
        min(x + width, image.width) > max(x, 0)
        and min(y + height, image.height) > max(y, 0)
        and width > 0
        and height > 0
    )
