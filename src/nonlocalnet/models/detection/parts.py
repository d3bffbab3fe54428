"""A detector's parts one after another, on regions of a given number: what runs does not hang on what is detected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN


def _call(_name: str, module: nn.Module, *inputs: Any) -> Any:
    return module(*inputs)


def run_parts(
    detector: GeneralizedRCNN,
    images: Tensor,
    *,
    proposals: int,
    detections: int,
    run: Callable[..., Any] = _call,
) -> list[Tensor]:
    """Run the trunk, the pyramid and every head; what lies between them (proposals, matching, RoIAlign) is left out.

    Args:
        detector: Mask R-CNN, Keypoint R-CNN or Faster R-CNN of torchvision, with or without blocks.
        images: (N, 3, H, W), normalised, of sides that are multiples of 32; on the detector's device.
        proposals: Regions that reach the box head, of all images together.
        detections: Regions that reach the mask or keypoint head.
        run: Calls a part, given its name, the part and its inputs.

    Returns:
        What every head gives.
    """
    parts: Any = detector
    levels = run("backbone.fpn", parts.backbone.fpn, run("backbone.body", parts.backbone.body, images))
    found = list(run("rpn.head", parts.rpn.head, list(levels.values())))
    heads, channels = parts.roi_heads, parts.backbone.out_channels
    regions = images.new_zeros(proposals, channels, *heads.box_roi_pool.output_size)
    found.append(run("roi_heads.box", nn.Sequential(heads.box_head, heads.box_predictor), regions))
    for kind in ("mask", "keypoint"):
        head = getattr(heads, f"{kind}_head", None)
        if head is None:
            continue
        regions = images.new_zeros(detections, channels, *getattr(heads, f"{kind}_roi_pool").output_size)
        features = run(f"roi_heads.{kind}_head", head, regions)
        found.append(run(f"roi_heads.{kind}_predictor", getattr(heads, f"{kind}_predictor"), features))
    return [tensor for given in found for tensor in ([given] if isinstance(given, Tensor) else given)]
