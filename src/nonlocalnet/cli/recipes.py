"""`nonlocalnet recipes`: every recipe with its published results."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from nonlocalnet.cli.arguments import make_parser, parse
from nonlocalnet.engine.detection_config import DetectionRecipe
from nonlocalnet.recipes import DETECTION_RECIPES, RECIPES


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet recipes [--json]`."""
    parser = make_parser("recipes", "List the recipes. Published results are the paper's, not ours.")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
    if parse(parser, argv).json:
        fields = ("name", "tables", "row", "published")
        print(
            json.dumps(
                [{field: getattr(recipe, field) for field in fields} for recipe in (*RECIPES, *DETECTION_RECIPES)],
                indent=2,
            )
        )
        return 0
    table = Table(title="Recipes, with the results the paper published (%)", title_justify="left")
    table.add_column("recipe", no_wrap=True)
    table.add_column("row")
    table.add_column("tables")
    table.add_column("top-1", justify="right")
    table.add_column("top-5", justify="right")
    for recipe in RECIPES:
        published = [f"{recipe.published[key]:.1f}" if key in recipe.published else "" for key in ("top1", "top5")]
        table.add_row(recipe.name, recipe.row, ", ".join(recipe.tables), *published)
    Console().print(table)
    Console().print(_detection_table(DETECTION_RECIPES))
    return 0


def _detection_table(recipes: Sequence[DetectionRecipe]) -> Table:
    table = Table(title="Detection recipes, with the AP the paper published on COCO val2017 (%)", title_justify="left")
    table.add_column("recipe", no_wrap=True)
    for name in ("row", "tables"):
        table.add_column(name)
    kinds = ("box", "mask", "keypoint")
    for kind in kinds:
        table.add_column(f"{kind} AP", justify="right")
    for recipe in recipes:
        published = [f"{recipe.published[f'{k}_ap']:.1f}" if f"{k}_ap" in recipe.published else "" for k in kinds]
        table.add_row(recipe.name, recipe.row, ", ".join(recipe.tables), *published)
    return table
