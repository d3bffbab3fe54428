"""Masks in COCO's forms, checked before they reach pycocotools' C code, which checks nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from nonlocalnet.data.coco.records import RunLengths, Segmentation
from nonlocalnet.data.coco.values import as_numbers, as_wholes, short

# Far beyond the image, a polygon is cut at its edge as COCO has it; farther than so many long sides it is a mistake.
_SIDES_BEYOND = 10
# The rasteriser walks along the outline in fifths of a pixel, and counts its steps in an int of 32 bits.
_STEPS_A_PIXEL = 5
_MOST_STEPS = 2**24
# Five bits a character: this holds every difference between two runs of fewer than 2^29 pixels, and one more would
# overflow pycocotools' int.
_MOST_CHARACTERS = 6
MOST_PIXELS = 2**29
"""Images are smaller: Pillow opens none above 2^28, and pycocotools counts pixels in 32 bits."""


def read_segmentation(value: Any, *, height: int, width: int) -> Segmentation:
    """A segmentation of COCO's format, checked.

    Args:
        value: A list of polygons [x1, y1, x2, y2, ...] in pixels, or run lengths: {"size", "counts"} with a list or
            the compressed text.
        height: Height of the image in pixels.
        width: Width of the image in pixels; height x width is below `MOST_PIXELS`.

    Returns:
        The same, of numbers only; run lengths fill the image, and none but the first is 0.

    Raises:
        ValueError: If it is none of these, of another size, does not fill the image, or lies far outside.
    """
    if isinstance(value, list) and value:
        polygons = [as_numbers(polygon) for polygon in value]
        if all(p is not None and len(p) >= 6 and len(p) % 2 == 0 for p in polygons):
            for polygon in polygons:
                _check_extent(polygon or [], height=height, width=width)
            return polygons  # pyright: ignore[reportReturnType]
    elif isinstance(value, dict) and value.get("size") is not None and value.get("counts") is not None:
        return _read_run_lengths(value, height=height, width=width)
    raise ValueError(
        "a segmentation must be a list of polygons with at least 3 points each, or run lengths with 'size' and "
        f"'counts', got {short(value)}"
    )


def decode_mask(segmentation: Any, *, height: int, width: int) -> np.ndarray:
    """A segmentation of COCO's format as a bitmap.

    Args:
        segmentation: As `read_segmentation` takes it.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        uint8 (height, width) of 0 and 1.

    Raises:
        ValueError: As `read_segmentation`.
    """
    encoded: Any = compressed(read_segmentation(segmentation, height=height, width=width), height=height, width=width)
    return coco_mask.decode(encoded)


def compressed(segmentation: Segmentation, *, height: int, width: int) -> RunLengths:
    """A checked segmentation as run lengths with compressed text, which JSON can hold."""
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str):
        return segmentation
    form: Any = segmentation
    encoded: Any = coco_mask.frPyObjects(form, height, width)
    return plain_mask(coco_mask.merge(encoded) if isinstance(segmentation, list) else encoded)


def plain_mask(encoded: Any) -> RunLengths:
    """Run lengths as pycocotools gives them, of plain numbers and text."""
    return {"size": [int(side) for side in encoded["size"]], "counts": encoded["counts"].decode("ascii")}


def _check_extent(polygon: list[float], *, height: int, width: int) -> None:
    lowest, highest, side = min(polygon), max(polygon), max(height, width)
    reach = _SIDES_BEYOND * side
    if lowest < -reach or highest > side + reach:
        far = lowest if lowest < -reach else highest
        raise ValueError(
            f"a segmentation must lie in or near its image of {width} x {height} pixels, but a polygon has the "
            f"coordinate {far:g}"
        )
    edges = len(polygon) // 2
    if edges * (highest - lowest) * _STEPS_A_PIXEL > _MOST_STEPS:
        points = np.array(polygon).reshape(-1, 2)
        length = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum()
        if length * _STEPS_A_PIXEL > _MOST_STEPS:
            raise ValueError(
                f"a segmentation must have an outline of at most {_MOST_STEPS // _STEPS_A_PIXEL} pixels, but a polygon "
                f"of {edges} points has one of {length:.0f}"
            )


def _read_run_lengths(value: dict[str, Any], *, height: int, width: int) -> RunLengths:
    if as_wholes(value["size"]) != [height, width]:
        raise ValueError(
            f"a mask of size {short(value['size'])} does not fit its image of [{height}, {width}] (height, width): "
            "the segmentation is of another picture"
        )
    counts: Any = value["counts"]
    runs = _decompressed(counts) if isinstance(counts, (str, bytes)) else _listed(counts)
    pixels = height * width
    if runs is None or (runs < 0).any() or (runs > pixels).any():
        raise ValueError(
            "the counts of a segmentation must be whole numbers of at least 0, or COCO's compressed text of such, that "
            f"add up to height x width = {pixels}, got {short(counts)}"
        )
    if runs.sum() != pixels:
        raise ValueError(
            f"the counts of a segmentation must add up to height x width = {pixels}, but come to {runs.sum()}: "
            f"{short(counts)}"
        )
    if (runs[1:] == 0).any():
        return {"size": [height, width], "counts": _without_empty_runs(runs.tolist())}
    if isinstance(counts, bytes):
        counts = counts.decode("ascii")
    return {"size": [height, width], "counts": counts if isinstance(counts, str) else runs.tolist()}


def _listed(counts: object) -> np.ndarray | None:
    runs = as_wholes(counts)
    return None if runs is None else np.array(runs, dtype=np.int64)


def _decompressed(counts: str | bytes) -> np.ndarray | None:
    """The runs of COCO's compressed text, or None: five bits a character from "0" on, lowest first.

    A sixth bit says that more follow, the highest of the last five is the sign, and from the fourth run on it is the
    difference from the run before the last (pycocotools, `rleFrString`).
    """
    if isinstance(counts, str):
        if not counts.isascii():
            return None
        counts = counts.encode()
    codes = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - ord("0")
    if not codes.size or codes.min() < 0 or codes.max() >= 64 or codes[-1] & 32:
        return None
    ends = np.flatnonzero((codes & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MOST_CHARACTERS:
        return None
    place = np.arange(codes.size) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & 31) << (5 * place), starts)
    values -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _without_empty_runs(runs: list[int]) -> list[int]:
    """The same pixels in the fewest runs: an empty run inside makes pycocotools' comparison of two masks stop early."""
    merged, of_ones = [0], False
    for position, run in enumerate(runs):
        if run and (position % 2 == 1) != of_ones:
            merged.append(0)
            of_ones = not of_ones
        merged[-1] += run
    return merged
