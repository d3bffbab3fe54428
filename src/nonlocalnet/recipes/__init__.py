"""Complete runs by name: every row of the paper's Table 2, and the generated long-range videos."""

from __future__ import annotations

import difflib

from nonlocalnet.engine.config import Recipe
from nonlocalnet.recipes import kinetics, longrange

RECIPES: tuple[Recipe, ...] = (
    longrange.longrange_c2d(),
    longrange.longrange_nl_c2d(),
    kinetics.c2d(50),
    kinetics.c2d(101),
    kinetics.nl_c2d_pairwise("gaussian"),
    kinetics.nl_c2d_pairwise("dot_product"),
    kinetics.nl_c2d_pairwise("concatenation"),
    kinetics.nl_c2d_stage("res2"),
    kinetics.nl_c2d_stage("res3"),
    kinetics.nl_c2d_stage("res5"),
    kinetics.nl_c2d(50, 1),
    kinetics.nl_c2d(50, 5),
    kinetics.nl_c2d(50, 10),
    kinetics.nl_c2d(101, 1),
    kinetics.nl_c2d(101, 5),
    kinetics.nl_c2d(101, 10),
    kinetics.nl_c2d_domain(50, "space"),
    kinetics.nl_c2d_domain(50, "time"),
    kinetics.nl_c2d_domain(101, "space"),
    kinetics.nl_c2d_domain(101, "time"),
    kinetics.i3d_3x3x3(),
    kinetics.i3d(50),
    kinetics.i3d(101),
    kinetics.nl_i3d(50),
    kinetics.nl_i3d(101),
    kinetics.long_clip("c2d", 50),
    kinetics.long_clip("i3d", 50),
    kinetics.long_clip("nl_i3d", 50),
    kinetics.long_clip("c2d", 101),
    kinetics.long_clip("i3d", 101),
    kinetics.long_clip("nl_i3d", 101),
)
"""Every recipe, in the order in which they are listed."""


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: If there is none; names the nearest.

    >>> recipe("nl_c2d_r50_5block").published
    {'top1': 73.8, 'top5': 91.0}
    """
    for candidate in RECIPES:
        if candidate.name == name:
            return candidate
    near = difflib.get_close_matches(name, [candidate.name for candidate in RECIPES], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`nonlocalnet recipes` lists them"
    raise ValueError(f"there is no recipe {name!r}; {hint}")
