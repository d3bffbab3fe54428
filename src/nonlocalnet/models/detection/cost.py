"""What a detector costs, part by part: the paper's "less than 5% more computation", counted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models.detection.parts import run_parts
from nonlocalnet.system.meta import meta_copy

# torchvision pads a batch to a multiple of this.
_DIVISIBLE = 32


@dataclass(frozen=True)
class DetectorCost:
    """Multiply-adds for one image; `str()` of it is a table.

    Attributes:
        parts: The trunk's, the pyramid's and every head's, the blocks in them included.
        parameters: Numbers in each of these parts, trained or not.
        blocks: Every non-local block's, by dotted path, over all regions where it is in a head.
    """

    parts: dict[str, int]
    blocks: dict[str, int]
    parameters: dict[str, int]

    @property
    def total(self) -> int:
        """Of the whole detector."""
        return sum(self.parts.values())

    @property
    def blocks_share(self) -> float:
        """Multiply-adds of the blocks over those of the detector without them: 0.05 is "5% more computation"."""
        blocks = sum(self.blocks.values())
        return blocks / (self.total - blocks)

    def __str__(self) -> str:
        rows = [*self.parts.items(), ("total", self.total), *self.blocks.items()]
        numbers = {**self.parameters, "total": sum(self.parameters.values())}
        width = max(len(name) for name, _ in rows)
        lines = [
            f"{name:<{width}}  {count / 1e9:8.2f} G" + (f"  {numbers[name]:>13,} parameters" if name in numbers else "")
            for name, count in rows
        ]
        return "\n".join([*lines, f"blocks: {100 * self.blocks_share:.1f}% more computation"])


def detector_cost(
    detector: GeneralizedRCNN,
    *,
    image_size: tuple[int, int] = (800, 1333),
    proposals: int = 1000,
    detections: int = 100,
) -> DetectorCost:
    """Count the multiply-adds of a detector on one image of a given size, in eval mode.

    Counted are convolutions, linear layers and the products of the non-local operation, each multiply-add once; the
    parts run as copies on the meta device, so nothing is computed.

    Args:
        detector: Mask R-CNN, Keypoint R-CNN or Faster R-CNN of torchvision, with or without blocks.
        image_size: (height, width) in pixels after resizing; it is padded to a multiple of 32.
        proposals: Regions that reach the box head (torchvision's default in eval mode: at most 1000).
        detections: Regions that reach the mask or keypoint head (at most `box_detections_per_img`).

    >>> from nonlocalnet.models.detection import maskrcnn_resnet50_fpn
    >>> cost = detector_cost(maskrcnn_resnet50_fpn())
    >>> f"{100 * cost.blocks_share:.1f}% more computation"
    '3.7% more computation'
    """
    height, width = (math.ceil(side / _DIVISIBLE) * _DIVISIBLE for side in image_size)
    copied = meta_copy(detector).eval()
    assert isinstance(copied, GeneralizedRCNN)
    counter = FlopCounterMode(display=False)
    parts: dict[str, int] = {}
    blocks: dict[str, int] = {}
    parameters: dict[str, int] = {}

    def run(name: str, module: nn.Module, *inputs: Any) -> Any:
        with counter, torch.no_grad():
            result = module(*inputs)
        parts[name] = counter.get_total_flops() // 2
        parameters[name] = sum(parameter.numel() for parameter in module.parameters())
        counts = counter.get_flop_counts()
        for path in nonlocal_blocks(module):
            key = f"{type(module).__name__}.{path}"
            blocks[f"{name}.{path}"] = sum(counts.get(key, {}).values()) // 2
        return result

    image = torch.empty(1, 3, height, width, device="meta")
    run_parts(copied, image, proposals=proposals, detections=detections, run=run)
    return DetectorCost(parts, blocks, parameters)
