"""Drawing what was found in a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps, font_manager
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import draw_bounding_boxes, draw_keypoints, draw_segmentation_masks

from nonlocalnet.runs.detection.predict import Detected

_Rgb = tuple[int, int, int]


def _palette() -> list[_Rgb]:
    shades = (colormaps["tab20"](i, bytes=True) for i in range(20))
    return [(int(red), int(green), int(blue)) for red, green, blue, _ in shades]


_COLOURS = _palette()


def draw(detected: Detected, *, skeleton: Sequence[tuple[int, int]] | None = None) -> Tensor:
    """Draw boxes with class and score, masks and keypoints; lines and letters grow with the picture.

    Args:
        detected: What was found in a picture that could be read.
        skeleton: Pairs of keypoints to join, counted from 0.

    Returns:
        uint8 (3, H, W).
    """
    assert detected.image is not None
    picture, objects = detected.image, detected.objects
    if not objects:
        return picture
    # One colour a class; where there is one class only, one an object.
    by_class = len({o["class"] for o in objects}) > 1
    numbers = [o["category_id"] if by_class else i for i, o in enumerate(objects)]
    colours: list[str | _Rgb] = [_COLOURS[number % len(_COLOURS)] for number in numbers]
    line = max(1, max(picture.shape[-2:]) // 300)
    if detected.masks is not None:
        picture = draw_segmentation_masks(picture, detected.masks, alpha=0.5, colors=colours)
    if "keypoints" in objects[0]:
        for o, colour in zip(objects, colours, strict=True):
            places = torch.tensor([[point[:2] for point in o["keypoints"]]])
            joined = list(skeleton) if skeleton else None
            # The scores are logits: at 0 a place is as likely as not.
            visible = torch.tensor([[point[2] > 0 for point in o["keypoints"]]])
            picture = draw_keypoints(
                picture, places, connectivity=joined, colors=colour, radius=2 * line + 1, width=line + 1,
                visibility=visible,
            )  # fmt: skip
    picture = draw_bounding_boxes(picture, torch.tensor([o["box"] for o in objects]), colors=colours, width=line)
    return _with_labels(picture, objects, [_COLOURS[number % len(_COLOURS)] for number in numbers])


def _with_labels(picture: Tensor, objects: Sequence[dict[str, Any]], colours: Sequence[_Rgb]) -> Tensor:
    """Class and score over each box's upper edge, moved so that all of it lies inside the picture."""
    height, width = picture.shape[-2:]
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size=max(10, max(height, width) // 50))
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    pen = ImageDraw.Draw(image)
    for o, colour in zip(objects, colours, strict=True):
        text = f"{o['class']} {o['score']:.2f}"
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        space = max(1, round((bottom - top) / 5))
        label_width, label_height = right - left + 2 * space, bottom - top + 2 * space
        x = max(0, min(o["box"][0], width - label_width))
        y = max(0, min(o["box"][1] - label_height, height - label_height))
        pen.rectangle((x, y, x + label_width - 1, y + label_height - 1), fill=colour)
        dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 140
        pen.text((x + space - left, y + space - top), text, fill="white" if dark else "black", font=font)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
