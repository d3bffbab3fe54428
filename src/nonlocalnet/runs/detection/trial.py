"""A detector's training step as a module from images to numbers, which can be counted and tried out without data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from typing_extensions import override

from nonlocalnet.models.detection.parts import run_parts

_OBJECTS = 8  # of a random image; COCO's have 7 on average


class TrainedParts(nn.Module):
    """The layers that a step computes, on as many regions as training samples; nothing hangs on what is detected.

    Left out are the proposals, matching, RoIAlign and the losses, which take a small part of the time.

    Args:
        detector: The detector.
        size: (height, width) of the images that so many regions are sampled from; from smaller ones fewer.
    """

    def __init__(self, detector: GeneralizedRCNN, size: tuple[int, int]) -> None:
        super().__init__()
        self.detector = detector
        self.area = size[0] * size[1]

    @override
    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to (1, K), a number for every tensor that a head gives."""
        heads: Any = self.detector.roi_heads
        sampler = heads.fg_bg_sampler
        share = len(images) * images.shape[-2] * images.shape[-1] / self.area
        proposals = max(1, round(share * sampler.batch_size_per_image))
        detections = max(1, round(proposals * sampler.positive_fraction))
        found = run_parts(self.detector, images, proposals=proposals, detections=detections)
        return torch.stack([tensor.float().mean() for tensor in found])[None]


class RandomStep(nn.Module):
    """A whole training step: the losses of images with objects at random places.

    Args:
        detector: The detector, in training mode when it is called.
        keypoints: How many an object has; None for masks.
    """

    def __init__(self, detector: GeneralizedRCNN, *, keypoints: int | None) -> None:
        super().__init__()
        self.detector = detector
        self.keypoints = keypoints

    @override
    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to (1, K), the losses."""
        losses: dict[str, Tensor] = self.detector(list(images.sigmoid()), [self._target(image) for image in images])
        return torch.stack(list(losses.values()))[None]

    def _target(self, image: Tensor) -> dict[str, Tensor]:
        height, width = image.shape[-2:]
        sides = image.new_tensor([width, height])
        first = torch.rand(_OBJECTS, 2, device=image.device) * sides * 0.5
        last = first + (0.1 + 0.4 * torch.rand(_OBJECTS, 2, device=image.device)) * sides
        target = {"boxes": torch.cat([first, last], dim=1)}
        target["labels"] = torch.ones(_OBJECTS, dtype=torch.int64, device=image.device)
        if self.keypoints is None:
            target["masks"] = torch.ones(_OBJECTS, height, width, dtype=torch.uint8, device=image.device)
        else:
            within = torch.rand(_OBJECTS, self.keypoints, 2, device=image.device)
            places = first[:, None] + within * (last - first)[:, None]
            target["keypoints"] = torch.cat([places, torch.ones_like(places[..., :1])], dim=-1)
        return target
