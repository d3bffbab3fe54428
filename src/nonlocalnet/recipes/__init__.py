"""Complete runs by name: the rows of the paper's Tables 2, 4, 5 and 6, the released models, own and generated data."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TypeVar

from nonlocalnet.engine.config import Recipe
from nonlocalnet.recipes import charades, coco, far_images, finetune, kinetics, longrange, release, sequences
from nonlocalnet.runs.detection.config import DetectionRecipe
from nonlocalnet.runs.sequence.config import SequenceRecipe
from nonlocalnet.runs.video.config import VideoRecipe

_Recipe = TypeVar("_Recipe", bound=Recipe)

VIDEO_RECIPES: tuple[VideoRecipe, ...] = (
    longrange.longrange_c2d(),
    longrange.longrange_nl_c2d(),
    finetune.finetune_small(),
    kinetics.c2d(50),
    kinetics.nl_c2d_stage("res2"),
    kinetics.nl_c2d_stage("res3"),
    kinetics.nl_c2d_pairwise("gaussian"),
    kinetics.nl_c2d(50, 1),
    kinetics.nl_c2d_pairwise("dot_product"),
    kinetics.nl_c2d_pairwise("concatenation"),
    kinetics.nl_c2d_stage("res5"),
    kinetics.nl_c2d_domain(50, "space"),
    kinetics.nl_c2d_domain(50, "time"),
    kinetics.nl_c2d(50, 5),
    kinetics.nl_c2d(50, 10),
    kinetics.i3d(50),
    kinetics.nl_i3d(50),
    kinetics.c2d(101),
    kinetics.i3d_3x3x3(),
    kinetics.i3d(101),
    kinetics.nl_c2d(101, 1),
    kinetics.nl_c2d_domain(101, "space"),
    kinetics.nl_c2d_domain(101, "time"),
    kinetics.nl_c2d(101, 5),
    kinetics.nl_c2d(101, 10),
    kinetics.nl_i3d(101),
    kinetics.long_clip("c2d", 50),
    kinetics.long_clip("i3d", 50),
    kinetics.long_clip("nl_i3d", 50),
    kinetics.long_clip("c2d", 101),
    kinetics.long_clip("i3d", 101),
    kinetics.long_clip("nl_i3d", 101),
    charades.charades_i3d(),
    charades.charades_nl_i3d(),
    kinetics.control(50),
    kinetics.control(101),
    release.released("c2d", "32x2"),
    release.released("nl_c2d", "32x2"),
    release.released("i3d", "32x2"),
    release.released("nl_i3d", "32x2"),
    release.released_long("i3d", "128x1"),
    release.released_long("nl_i3d", "128x1"),
    release.released("c2d", "8x8"),
    release.released("nl_c2d", "8x8"),
    release.released("i3d", "8x8"),
    release.released("nl_i3d", "8x8"),
    release.released_long("i3d", "32x4"),
    release.released_long("nl_i3d", "32x4"),
    release.released_i3d_300k(),
    release.released_i3d_600k_4gpu(),
    release.released_i3d_300k_4gpu(),
)
"""Every recipe on videos, in an order that keeps the order of the rows in each of the paper's tables."""

DETECTION_RECIPES: tuple[DetectionRecipe, ...] = (
    far_images.farcue("none"),
    far_images.farcue("control"),
    far_images.farcue("nl"),
    far_images.farkeypoint("none"),
    far_images.farkeypoint("control"),
    far_images.farkeypoint("head"),
    far_images.farkeypoint("nl"),
    coco.mask("r50", blocks=False),
    coco.mask("r50", blocks=True),
    coco.mask("r101", blocks=False),
    coco.mask("r101", blocks=True),
    coco.mask("x152", blocks=False),
    coco.mask("x152", blocks=True),
    coco.keypoint("none"),
    coco.keypoint("head"),
    coco.keypoint("head_backbone"),
)
"""Every recipe on images, likewise."""


SEQUENCE_RECIPES: tuple[SequenceRecipe, ...] = sequences.RECIPES
"""Every recipe on sequences, likewise."""

RECIPES: tuple[Recipe, ...] = (*VIDEO_RECIPES, *DETECTION_RECIPES, *SEQUENCE_RECIPES)
"""Every recipe."""


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: If there is none; names the nearest.

    >>> recipe("nl_c2d_r50_5block").published
    {'top1': 73.8, 'top5': 91.0}
    """
    return _find(name, RECIPES)


def video_recipe(name: str) -> VideoRecipe:
    """The recipe on videos of that name; raises as `recipe` does."""
    return _find(name, VIDEO_RECIPES)


def detection_recipe(name: str) -> DetectionRecipe:
    """The recipe on images of that name; raises as `recipe` does.

    >>> detection_recipe("coco_mask_r50_nl").published["mask_ap"]
    35.5
    """
    return _find(name, DETECTION_RECIPES)


def sequence_recipe(name: str) -> SequenceRecipe:
    """The recipe on sequences of that name; raises as `recipe` does.

    >>> sequence_recipe("adding_t400_dot_product").data.length
    400
    """
    return _find(name, SEQUENCE_RECIPES)


def _find(name: str, recipes: Sequence[_Recipe]) -> _Recipe:
    for candidate in recipes:
        if candidate.name == name:
            return candidate
    near = difflib.get_close_matches(name, [candidate.name for candidate in recipes], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`nonlocalnet recipes` lists them"
    raise ValueError(f"there is no recipe {name!r}; {hint}")
