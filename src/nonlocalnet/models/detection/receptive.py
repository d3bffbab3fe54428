"""Which pixels can decide what a detector says of a box: computed, not estimated.

A copy of the network with positive weights, without norms and with averages in place of maxima depends on exactly the
pixels on which the network can depend. The gradient of its output for a box is not zero there, and zero elsewhere.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.ops import FrozenBatchNorm2d

Box = tuple[float, float, float, float]


def receptive_field(
    detector: GeneralizedRCNN,
    *,
    image_size: tuple[int, int],
    box: Box,
    head: Literal["box", "keypoint"] = "box",
    place: tuple[float, float] | None = None,
) -> tuple[int, int, int, int]:
    """The smallest rectangle outside of which no pixel can change what a head computes for a box.

    Proposals are left out of the question: which boxes are looked at may depend on more pixels, what a head says of a
    given box does not.

    Args:
        detector: One of torchvision's, with or without blocks.
        image_size: (height, width) in pixels of the network's input, multiples of 32.
        box: x1, y1, x2, y2 in pixels.
        head: The head that is asked: "box" for the class, "keypoint" for the heat map.
        place: For "keypoint": x, y in pixels, the place in the box whose values in the heat map are asked; None for
            the whole map.

    Returns:
        x1, y1, x2, y2 in pixels, x2 and y2 exclusive.

    Raises:
        ValueError: If the image size is no multiple of 32, or the box is not in the image.
    """
    height, width = image_size
    if height % 32 or width % 32:
        raise ValueError(f"image_size must be multiples of 32, got {image_size}")
    if not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
        raise ValueError(f"box must lie in the image of {width} x {height}, got {box}")
    positive = _positive_copy(detector)
    image = torch.ones(1, 3, height, width, dtype=torch.float64, requires_grad=True)
    features = positive.backbone(image)
    heads: Any = positive.roi_heads
    regions = getattr(heads, f"{head}_roi_pool")(features, [torch.tensor([box]).double()], [image_size])
    output = getattr(heads, f"{head}_head")(regions)
    (gradient,) = torch.autograd.grad(_asked(output, box, place if head == "keypoint" else None).sum(), image)
    # Through the softmax of a non-local block gradients can be negative too.
    seen = (gradient[0] != 0).any(0)
    rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _asked(output: Tensor, box: Box, place: tuple[float, float] | None) -> Tensor:
    if place is None:
        return output
    height, width = output.shape[-2:]
    column = int((place[0] - box[0]) / (box[2] - box[0]) * width)
    row = int((place[1] - box[1]) / (box[3] - box[1]) * height)
    # The predictor's transposed convolution and resizing read the neighbours too.
    return output[..., max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]


def _positive_copy(detector: GeneralizedRCNN) -> GeneralizedRCNN:
    copied = copy.deepcopy(detector).double().eval().requires_grad_(requires_grad=False)
    for parent in copied.modules():
        for name, child in list(parent.named_children()):
            if isinstance(child, (_BatchNorm, FrozenBatchNorm2d)):
                setattr(parent, name, nn.Identity())
            elif isinstance(child, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
    for parameter in copied.parameters():
        # Every layer averages: nothing grows out of range however deep the network is.
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 1
        parameter.fill_(1 / fan_in if parameter.dim() > 1 else 0)
    return copied
