"""Reading pictures: any mode becomes RGB, and a rotation in the file's EXIF data is applied or known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from nonlocalnet.system.errors import FileProblem

_EXIF_ORIENTATION = 0x0112
# Orientations that exchange width and height.
_TURNED = (5, 6, 7, 8)


class ImageError(FileProblem):
    """An image file that cannot be read, or does not fit its annotation."""


def read_rgb(path: Path, *, size: tuple[int, int] | None = None) -> Tensor:
    """Read a picture, or a frame that was extracted as one.

    Grayscale, palette and CMYK pictures become RGB, 16-bit ones 8-bit, and transparency is dropped. A rotation in the
    EXIF data is applied, as every viewer does, except where `size` says that the annotations are of the picture as it
    is stored.

    Args:
        path: Any format that Pillow reads; of several frames the first is taken.
        size: (height, width) in pixels that the annotations are made for; None where nothing is annotated.

    Returns:
        uint8 (H, W, 3).

    Raises:
        FileNotFoundError: If there is no such file.
        ImageError: If it cannot be decoded, or has another size than `size` in either orientation.
    """
    try:
        with Image.open(path) as stored:
            stored.load()
            picture = _oriented(stored, size=size, path=path)
            rgb = _eight_bit(picture).convert("RGB")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such image") from None
    except ImageError:
        raise
    # Pillow has no error of its own for what its decoders find wrong.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} cannot be read as an image: {error}") from error
    return torch.from_numpy(np.array(rgb))


def read_image(path: Path, *, size: tuple[int, int] | None = None) -> Tensor:
    """As `read_rgb`, but uint8 (3, H, W), as torchvision's detectors take it."""
    return read_rgb(path, size=size).permute(2, 0, 1).contiguous()


def _oriented(picture: Image.Image, *, size: tuple[int, int] | None, path: Path) -> Image.Image:
    turned = picture.getexif().get(_EXIF_ORIENTATION) in _TURNED
    stored = (picture.height, picture.width)
    shown = stored[::-1] if turned else stored
    if size is None or shown == size:
        return ImageOps.exif_transpose(picture)
    if stored == size:
        return picture
    note = f", {shown[1]} x {shown[0]} by its EXIF rotation" if turned else ""
    raise ImageError(
        f"{path} is {stored[1]} x {stored[0]} pixels{note}, but its annotations are of {size[1]} x {size[0]}: "
        "it is another picture, or was resized without them"
    )


def _eight_bit(picture: Image.Image) -> Image.Image:
    # Pillow would cut values above 255 off; 65535 is white.
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8))
    return picture
