"""What is shown of a model's input: the frames of a clip, an image, or a signal as a curve."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

_SIGNAL_HEIGHT = 160
_SIGNAL_WIDTH = 1400  # pixels at most: a longer signal is drawn by the lowest and highest of what falls on a pixel
_CURVES = 4  # channels of a signal that are told apart as curves; more are rows of grey
_INK = ((38, 70, 160), (190, 60, 40), (30, 120, 70), (130, 60, 150))


def pictures_of(pixels: Tensor, *, mean: float | list[float] = 0.0, std: float | list[float] = 1.0) -> Tensor:
    """The frames that a normalised input was made of.

    Args:
        pixels: (1, C, T, H, W), (1, C, H, W) or (1, C, L): what the model was given.
        mean: What was subtracted from bytes, a number or one a channel.
        std: By which they were then divided; with the mean left out too, values are spread over all shades instead.

    Returns:
        uint8 (T, H, W, 3), RGB; one frame for images. A signal is drawn: one frame as wide as it is long, or narrower.
    """
    values = pixels[0].detach().float().cpu()
    if values.dim() == 2:
        return _curves(values)
    values = values.unsqueeze(1) if values.dim() == 3 else values  # C, T, H, W
    values = values[:3] if len(values) >= 3 else values[:1].expand(3, -1, -1, -1)
    if mean == 0.0 and std == 1.0:
        low, high = values.min(), values.max()
        values = (values - low) / (high - low).clamp_min(1e-12) * 255
    else:
        per_channel = (torch.as_tensor(number, dtype=torch.float32).reshape(-1, 1, 1, 1) for number in (std, mean))
        spread, middle = per_channel
        values = values * spread + middle
    return values.round().clamp(0, 255).byte().permute(1, 2, 3, 0).contiguous()


def as_webp(picture_HWC: Tensor, *, quality: int, longest: int | None = None) -> bytes:
    """A picture (H, W, 3) as WebP, made smaller where a side is longer than `longest` pixels."""
    picture = Image.fromarray(picture_HWC.numpy())
    if longest is not None:
        picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=quality)
    return buffer.getvalue()


def _curves(values_CL: Tensor) -> Tensor:
    channels, length = values_CL.shape
    values = values_CL.numpy()
    columns = min(length, _SIGNAL_WIDTH)
    edges = np.linspace(0, length, columns + 1).astype(int)
    spread = np.abs(values).max() or 1.0
    if channels > _CURVES:  # such as a spectrogram: the lowest channel below
        highest = np.maximum.reduceat(values[::-1], edges[:-1], axis=1)
        grey = ((highest - values.min()) / (np.ptp(values) or 1.0) * 255).astype(np.uint8)
        rows = np.repeat(grey, max(1, _SIGNAL_HEIGHT // channels), axis=0)
        return torch.from_numpy(np.repeat(rows[None, :, :, None], 3, axis=3).copy())
    picture = Image.new("RGB", (columns, _SIGNAL_HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    heights = (0.5 - 0.46 * values / spread) * (_SIGNAL_HEIGHT - 1)
    for channel in range(channels):
        ends = (reduce.reduceat(heights[channel], edges[:-1]) for reduce in (np.minimum, np.maximum))
        points = [(x, y) for x, pair in enumerate(zip(*ends, strict=True)) for y in pair]
        draw.line(points, fill=_INK[channel], width=1)
    return torch.from_numpy(np.asarray(picture).copy())[None]
