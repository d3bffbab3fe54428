"""Mirroring an image and its target from left to right, and which keypoint becomes which."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as v2

from nonlocalnet.data.coco.records import CocoSet
from nonlocalnet.data.coco.targets import Target

log = logging.getLogger(__name__)

FlipPairs = Sequence[tuple[str, str]]

# LEye, L_Eye and eyeL alike have L as a word: words end where the case or the kind of character changes.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^A-Za-z]+")
_SIDE = re.compile("left|right", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}


def flip(image: Tensor, target: Target, *, partners: Sequence[int]) -> tuple[Tensor, Target]:
    """Mirror an image and its target from left to right.

    Args:
        image: (3, H, W).
        target: The target of that image.
        partners: For every keypoint the index of its other side, itself where it has none (`flip_partners`).

    Returns:
        The mirror images. Pixel x becomes W - 1 - x, an edge at x becomes W - x.
    """
    height, width = image.shape[-2:]
    boxes = tv_tensors.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=(height, width))  # pyright: ignore
    mirrored = {**target, "boxes": v2.horizontal_flip(boxes).as_subclass(Tensor)}
    if "masks" in target:
        mirrored["masks"] = target["masks"].flip(-1)
    if "keypoints" in target:
        # torchvision's v2 transforms know no keypoints that belong in pairs.
        keypoints = target["keypoints"][:, list(partners)].clone()
        keypoints[..., 0] = width - 1 - keypoints[..., 0]
        keypoints[keypoints[..., 2] == 0] = 0  # COCO writes zeros where nothing is marked
        mirrored["keypoints"] = keypoints
    return image.flip(-1), mirrored


def flip_partners(names: Sequence[str]) -> list[int]:
    """For every keypoint the index of the one it becomes in the mirror, by the sides in the names.

    A side is "left" or "right" anywhere, or "l" or "r" as a word, in any case.

    >>> flip_partners(["nose", "left_eye", "right_eye", "L_Ear", "R_Ear", "kneeL", "kneeR"])
    [0, 2, 1, 4, 3, 6, 5]
    """
    places = {name.lower(): i for i, name in enumerate(names)}
    return [places.get(_mirrored(name), i) for i, name in enumerate(names)]


def partners_for_flipping(images: CocoSet, pairs: FlipPairs | None) -> list[int]:
    """The partners of a set's keypoints, as given or by their names.

    Args:
        images: The set.
        pairs: Names of the keypoints that change places, as `data.flip_pairs` has them; none of them for an empty list,
            and None to go by the names.

    Raises:
        ValueError: A name of `pairs` is not the set's or stands twice, or no pair is found among several keypoints: a
            mirrored left side would be taught as left.
    """
    names = images.keypoint_names
    if pairs is not None:
        return _given_partners(images, pairs)
    partners = flip_partners(names)
    alone = [i for i, partner in enumerate(partners) if partner == i or partners[partner] != i]
    if len(names) > 1 and len(alone) == len(names):
        raise ValueError(
            f"{images.source}: no keypoint has another side by its name ({_some(names)}), so mirroring would mix left "
            'and right: give data.flip_pairs, such as [["eye1", "eye2"]] or [] where nothing has sides, or set '
            "data.flip to 0"
        )
    sided = [names[i] for i in alone if _mirrored(names[i]) != names[i].lower()]
    if sided:
        log.warning(
            "%s: %s has a side by its name but no partner, and keeps its name in the mirror: give data.flip_pairs",
            images.source,
            _some(sided),
        )
    return [i if i in alone else partner for i, partner in enumerate(partners)]


def _given_partners(images: CocoSet, pairs: FlipPairs) -> list[int]:
    names = images.keypoint_names
    given = [name for pair in pairs for name in pair]
    for name in given:
        if name not in names:
            raise ValueError(f"data.flip_pairs names {name!r}, but the keypoints of {images.source} are {_some(names)}")
        if given.count(name) > 1:
            raise ValueError(f"data.flip_pairs names {name!r} {given.count(name)} times: a keypoint has one partner")
    partners = {one: other for a, b in pairs for one, other in ((a, b), (b, a))}
    return [names.index(partners.get(name, name)) for name in names]


def _mirrored(name: str) -> str:
    """The name of the other side, in lower case; the same where it has no side."""
    words = [_OTHER[word.lower()] if word.lower() in ("l", "r") else word for word in _WORD.findall(name)]
    return "".join(_SIDE.sub(lambda side: _OTHER[side[0].lower()], word) for word in words).lower()


def _some(names: Sequence[str], *, at_most: int = 6) -> str:
    return ", ".join(names[:at_most]) + (", ..." if len(names) > at_most else "")
