"""`nonlocalnet recipes`: every recipe with its published results, and ours beside where they are given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nonlocalnet.commands.options.parsing import make_parser, parse
from nonlocalnet.engine.config import Recipe
from nonlocalnet.recipes import DETECTION_RECIPES, RECIPES
from nonlocalnet.runs.detection.config import DetectionRecipe

# Keys of `Recipe.published` and of summary.json, as the columns are headed.
_METRICS = {
    "top1": "top-1",
    "top5": "top-5",
    "map": "mAP",
    "map_test": "mAP test",
    "box_ap": "box AP",
    "mask_ap": "mask AP",
    "keypoint_ap": "keypoint AP",
}
AnyRecipe = Recipe | DetectionRecipe


@dataclass(frozen=True)
class Result:
    """What a test of ours came to.

    Attributes:
        recipe: Name of the recipe whose protocol it was.
        metrics: In percent, by the keys of `Recipe.published`.
        videos: How many were tested.
        path: The file.
    """

    recipe: str
    metrics: dict[str, float]
    videos: int
    path: str


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet recipes [--table 2c] [--results FILE...] [--json]`."""
    parser = make_parser("recipes", "List the recipes. Published results are the paper's or the release's, not ours.")
    parser.add_argument("--table", help="only the rows of one of the paper's tables, such as 2c")
    parser.add_argument(
        "--results", nargs="+", default=[], help="summary.json files of `nonlocalnet test`, to show beside"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
    parsed = parse(parser, argv)
    recipes = _rows(parsed.table)
    results = [read_result(path) for path in parsed.results]
    if parsed.json:
        print(json.dumps([_plain(recipe, results, asked=bool(parsed.results)) for recipe in recipes], indent=2))
        return 0
    console = Console()
    for kind in (Recipe, DetectionRecipe):
        rows = [recipe for recipe in recipes if isinstance(recipe, kind)]
        if rows:
            console.print(_table(rows, results, title=parsed.table))
    shown = {recipe.name for recipe in recipes}
    for result in results:
        if result.recipe not in shown:
            where = f"Table {parsed.table}" if parsed.table else "the list"
            console.print(f"{result.path}: {result.recipe} is not in {where}", markup=False, highlight=False)
    return 0


def read_result(path: str) -> Result:
    """Read the summary.json of a test.

    Args:
        path: The file, or the folder it stands in.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no summary of a test of a recipe.
    """
    file = Path(path) / "summary.json" if Path(path).is_dir() else Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: there is no such file; --results takes the summary.json of a test")
    try:
        content: Any = json.loads(file.read_text())
        metrics = {key: float(content[key]) for key in _METRICS if key in content}
        name, videos = str(content["recipe"]["name"]), int(content["videos"])
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not the summary.json of a test of one recipe ({error!r})") from error
    return Result(name, metrics, videos, str(file))


def _rows(table: str | None) -> tuple[AnyRecipe, ...]:
    recipes = (*RECIPES, *DETECTION_RECIPES)
    if table is None:
        return recipes
    known = sorted({name for recipe in recipes for name in recipe.tables})
    rows = tuple(recipe for recipe in recipes if table in recipe.tables)
    if not rows:
        raise ValueError(f"--table must be one of {', '.join(known)}, got {table!r}")
    return rows


def _plain(recipe: AnyRecipe, results: Sequence[Result], *, asked: bool) -> dict[str, Any]:
    row = {field: getattr(recipe, field) for field in ("name", "tables", "row", "published")}
    if asked:
        row["ours"] = [{**r.metrics, "videos": r.videos, "summary": r.path} for r in results if r.recipe == recipe.name]
    return row


def _table(recipes: Sequence[AnyRecipe], results: Sequence[Result], *, title: str | None) -> Table:
    """Narrow enough for 80 columns: the metrics of a row stand in one cell, in the order of the heading."""
    keys = [key for key in _METRICS if any(key in recipe.published for recipe in recipes)]
    metrics = " / ".join(_METRICS[key] for key in keys)
    of = "of the recipes" if title is None else f"of Table {title}"
    heading = f"Published results {of}{', and ours' if results else ''} (%: {metrics})"
    table = Table(title=heading, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("recipe", no_wrap=True)
    for name in ("row", "tables") if not results else ("tables",):
        table.add_column(name)
    table.add_column("published", justify="right", no_wrap=True)
    if results:
        table.add_column("ours", justify="right", no_wrap=True)
        table.add_column("videos", justify="right")
    for recipe in recipes:
        texts = [", ".join(recipe.tables), _percent(recipe.published, keys)]
        first = [recipe.name, *([] if results else [recipe.row]), *texts]
        own = [result for result in results if result.recipe == recipe.name] or [None]
        for number, result in enumerate(own):
            ours = [] if not results else [_percent(result.metrics, keys), str(result.videos)] if result else ["", ""]
            table.add_row(*(first if number == 0 else [""] * len(first)), *ours)
    return table


def _percent(metrics: dict[str, float], keys: Sequence[str]) -> str:
    return " / ".join(f"{metrics[key]:.1f}" for key in keys if key in metrics)
