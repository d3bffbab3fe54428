"""What the detectors take beside the options of their blocks, with the defaults and the checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torchvision.models._api import WeightsEnum

from nonlocalnet.block import BlockArguments


class SlimMaskArguments(BlockArguments, total=False):
    """What every detector takes."""

    num_classes: int | None
    frozen_bn: bool | None
    min_size: int | Sequence[int]
    max_size: int
    box_score_thresh: float
    box_detections_per_img: int
    nonlocal_backbone: bool


class MaskArguments(SlimMaskArguments, total=False):
    """What a detector takes on a trunk that may be trained already."""

    weights: WeightsEnum | str | None
    weights_backbone: WeightsEnum | str | None
    progress: bool
    trainable_backbone_layers: int | None


class SlimKeypointArguments(SlimMaskArguments, total=False):
    """As `SlimMaskArguments`, with keypoints."""

    num_keypoints: int | None
    nonlocal_head: bool


class KeypointArguments(MaskArguments, total=False):
    """As `MaskArguments`, with keypoints."""

    num_keypoints: int | None
    nonlocal_head: bool


@dataclass(frozen=True, kw_only=True)
class DetectorOptions:
    """One field for each argument of the factories that is none of a block; they say what each means.

    Raises:
        ValueError: A size or the number of classes is out of range.
    """

    weights: WeightsEnum | str | None = None
    weights_backbone: WeightsEnum | str | None = None
    progress: bool = True
    num_classes: int | None = None
    num_keypoints: int | None = None
    trainable_backbone_layers: int | None = None
    frozen_bn: bool | None = None
    min_size: int | Sequence[int] = 800
    max_size: int = 1333
    box_score_thresh: float = 0.05
    box_detections_per_img: int = 100
    nonlocal_backbone: bool = True
    nonlocal_head: bool = False

    def __post_init__(self) -> None:
        sizes = (self.min_size,) if isinstance(self.min_size, int) else tuple(self.min_size)
        if not sizes or min(sizes) < 1 or max(sizes) > self.max_size:
            raise ValueError(f"min_size must be from 1 to max_size = {self.max_size}, got {self.min_size}")
        if self.num_classes is not None and self.num_classes < 2:
            raise ValueError(f"num_classes must be at least 2, the background and one class, got {self.num_classes}")
