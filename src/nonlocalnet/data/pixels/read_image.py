"""Reading pictures: any mode becomes RGB, and a rotation in the file's EXIF data is applied or known."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from nonlocalnet.system.errors import FileProblem
from nonlocalnet.system.odd_files import require_file

_EXIF_ORIENTATION = 0x0112
# Orientations that exchange width and height.
_TURNED = (5, 6, 7, 8)
# Formats whose 16 bits Pillow widens to 32: they have no more.
_SIXTEEN_BITS = frozenset({"PNG", "PPM", "JPEG2000"})


# More would take gigabytes in a network, as every pixel becomes a few floats. The cameras of telephones have up to 50
# million that they use by default.
MOST_PIXELS = 60_000_000
# Resized so that the longer side fits a network, a thinner picture has no pixel left in its shorter side.
THINNEST = 100


class ImageError(FileProblem):
    """An image file that cannot be read, or does not fit its annotation."""


def read_rgb(path: Path, *, size: tuple[int, int] | None = None) -> Tensor:
    """Read a picture, or a frame that was extracted as one.

    Grayscale, palette and CMYK pictures become RGB, and transparency is dropped. White is 65535 of 16 bits, and 1 of
    floats. An orientation in the EXIF data is applied, as every viewer does, except where `size` says that the
    annotations are of the picture as it is stored.

    Args:
        path: Any format that Pillow reads; of several frames the first is taken.
        size: (height, width) in pixels that the annotations are made for; None where nothing is annotated.

    Returns:
        uint8 (H, W, 3).

    Raises:
        FileNotFoundError: If there is no such file.
        ImageError: If it cannot be decoded, has more than `MOST_PIXELS`, a side `THINNEST` times the other, another
            size than `size` in either orientation, or values of a range that is not known: floats outside [0, 1],
            integers of 32 bits.
    """
    try:
        require_file(path)
        with _quiet(), Image.open(path) as stored:
            if stored.width * stored.height > MOST_PIXELS:
                raise ImageError(
                    f"{path} is {stored.width} x {stored.height} pixels, of which at most {MOST_PIXELS:,} are read: "
                    "make it smaller"
                )
            if max(stored.size) > THINNEST * min(stored.size):
                raise ImageError(
                    f"{path} is {stored.width} x {stored.height} pixels: too thin for any network; at most one side is "
                    f"{THINNEST} times the other"
                )
            stored.load()
            picture = _oriented(stored, size=size, path=path)
            rgb = _eight_bit(picture, path, depth_known=stored.format in _SIXTEEN_BITS).convert("RGB")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such image") from None
    except ImageError:
        raise
    # Pillow has no error of its own for what its decoders find wrong: struct.error, KeyError, OverflowError and more.
    except Exception as error:
        raise ImageError(f"{path} cannot be read as an image: {error}") from error
    return torch.from_numpy(np.array(rgb))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Pillow's warnings, which name no file."""
    with warnings.catch_warnings():
        # Said better by `MOST_PIXELS`; beyond twice its own bound Pillow raises an error.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        # Of EXIF data that are cut off, as some cameras' are: the picture is none the worse.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def read_image(path: Path, *, size: tuple[int, int] | None = None) -> Tensor:
    """As `read_rgb`, but uint8 (3, H, W), as torchvision's detectors take it."""
    return read_rgb(path, size=size).permute(2, 0, 1).contiguous()


def _oriented(picture: Image.Image, *, size: tuple[int, int] | None, path: Path) -> Image.Image:
    turned = picture.getexif().get(_EXIF_ORIENTATION) in _TURNED
    stored = (picture.height, picture.width)
    shown = stored[::-1] if turned else stored
    if size is None or shown == size:
        ImageOps.exif_transpose(picture, in_place=True)
        return picture
    if stored == size:
        return picture
    note = f", {shown[1]} x {shown[0]} by its EXIF rotation" if turned else ""
    raise ImageError(
        f"{path} is {stored[1]} x {stored[0]} pixels{note}, but its annotations are of {size[1]} x {size[0]}: "
        "it is another picture, or was resized without them"
    )


def _eight_bit(picture: Image.Image, path: Path, *, depth_known: bool) -> Image.Image:
    """Pillow would cut off what lies above 255, and take floats from 0 to 1 for black."""
    if picture.mode == "F":
        values = np.asarray(picture)
        if not (values.min() >= 0 and values.max() <= 1):  # NaN included
            raise ImageError(
                f"{path} holds floats from {values.min():g} to {values.max():g}, of which none is known to be white; "
                "save it with 8 bits, or with floats from 0 to 1"
            )
        return Image.fromarray(np.rint(values * 255).astype(np.uint8))
    if picture.mode.startswith("I;16") or (picture.mode == "I" and depth_known):
        return Image.fromarray((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8))
    if picture.mode == "I":
        raise ImageError(
            f"{path} holds integers of 32 bits, of which none is known to be white; save it with 8 or 16 bits"
        )
    return picture
