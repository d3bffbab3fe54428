"""`nonlocalnet recipes`: every recipe with its published results."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from nonlocalnet.cli.arguments import make_parser, parse
from nonlocalnet.recipes import RECIPES


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet recipes [--json]`."""
    parser = make_parser("recipes", "List the recipes. Published results are the paper's, not ours.")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
    if parse(parser, argv).json:
        fields = ("name", "tables", "row", "published")
        print(json.dumps([{field: getattr(recipe, field) for field in fields} for recipe in RECIPES], indent=2))
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
    return 0
