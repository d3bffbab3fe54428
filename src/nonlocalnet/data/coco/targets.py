"""What is annotated in an image, as the tensors that torchvision's detectors train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from nonlocalnet.data.coco.masks import decode_mask
from nonlocalnet.data.coco.records import Annotation, CocoImage, Kind

Target = dict[str, Tensor]

# The detector's transform multiplies a box's float32 edges by the image's scale. A side of so many units in the last
# place keeps its two edges apart through that, whatever the scale, and is far below a pixel.
_UNITS_IN_THE_LAST_PLACE = 8


def trainable_annotations(images: Sequence[CocoImage]) -> list[list[Annotation]]:
    """For every image what to train on: no crowds, and no boxes without area inside the image, as float32 holds it.

    Both stay in the evaluation, where crowds are ignored as COCO has it.
    """
    objects = [[a for a in image.annotations if not a["iscrowd"]] for image in images]
    sizes = [[i.width, i.height] for i, of_image in zip(images, objects, strict=True) for _ in of_image]
    boxes = _boxes([a for of_image in objects for a in of_image], sizes)
    smallest = torch.tensor(sizes).reshape(-1, 2) * (_UNITS_IN_THE_LAST_PLACE * torch.finfo(torch.float32).eps)
    kept = iter((boxes[:, 2:] - boxes[:, :2] > smallest).all(dim=1).tolist())
    return [[a for a in of_image if next(kept)] for of_image in objects]


def is_trainable(annotations: Sequence[Annotation], kind: Kind) -> bool:
    """Whether they are anything to train on: for keypoints, a visible one."""
    if kind == "masks":
        return bool(annotations)
    return any(visibility > 0 for a in annotations for visibility in a.get("keypoints", ())[2::3])


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
    (annotations,) = trainable_annotations([image])
    target = {
        "boxes": _boxes(annotations, [[image.width, image.height]] * len(annotations)),
        "labels": torch.tensor([labels[a["category_id"]] for a in annotations], dtype=torch.int64),
    }
    if kind == "masks":
        masks = [decode_mask(a.get("segmentation"), height=image.height, width=image.width) for a in annotations]
        empty = np.zeros((0, image.height, image.width), dtype=np.uint8)
        target["masks"] = torch.from_numpy(np.stack(masks) if masks else empty)
    else:
        keypoints = torch.tensor([a.get("keypoints") for a in annotations], dtype=torch.float32)
        target["keypoints"] = keypoints.reshape(len(annotations), -1, 3)
    return target


def _boxes(annotations: Sequence[Annotation], sizes: Sequence[Sequence[int]]) -> Tensor:
    """float32 (N, 4) x1, y1, x2, y2, clipped to their images of width and height `sizes`."""
    boxes_xywh = torch.tensor([a["bbox"] for a in annotations], dtype=torch.float32).reshape(-1, 4)
    boxes = torch.cat([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], dim=1)
    return torch.minimum(boxes.clamp(min=0), torch.tensor(sizes, dtype=torch.float32).reshape(-1, 2).repeat(1, 2))
