"""`nonlocalnet recipes`: every recipe with its published results, and ours beside where they are given."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from nonlocalnet.commands.options.parsing import make_parser, parse
from nonlocalnet.commands.options.results import Result, read_result
from nonlocalnet.engine.config import Recipe
from nonlocalnet.recipes import RECIPES
from nonlocalnet.runs.kinds import KINDS, Kind, kind_of
from nonlocalnet.system.terminal import make_console

log = logging.getLogger(__name__)

_OTHER_DATA = " *"


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet recipes [--table 2c] [--results FILE...] [--json]`."""
    parser = make_parser("recipes", "List the recipes. Published results are the paper's or the release's, not ours.")
    parser.add_argument("--table", help="only the rows of one of the paper's tables, such as 2c")
    parser.add_argument(
        "--results",
        nargs="+",
        action="extend",
        default=[],
        help="summary.json files of `nonlocalnet test`, to show beside",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
    parsed = parse(parser, argv)
    recipes = _rows(parsed.table)
    results = [read_result(path) for path in parsed.results]
    shown = {recipe.name for recipe in recipes}
    where = f"Table {parsed.table}" if parsed.table else "the list"
    beside = [f"{result.path}: {result.recipe} is not in {where}" for result in results if result.recipe not in shown]
    if parsed.json:
        for sentence in beside:
            log.warning("%s", sentence)
        print(json.dumps([_plain(recipe, results, asked=bool(parsed.results)) for recipe in recipes], indent=2))
        return 0
    console = make_console()
    for kind in KINDS:
        rows = [recipe for recipe in recipes if kind_of(recipe) is kind]
        if rows:
            console.print(_table(kind, rows, results, title=parsed.table))
            if any(
                r.recipe == row.name and not kind.report.on_published_data(row, r.content)
                for row in rows
                for r in results
            ):
                console.print(
                    f"{_OTHER_DATA} of other classes: the published results are no comparison", highlight=False
                )
    for sentence in beside:
        console.print(sentence)
    return 0


def _rows(table: str | None) -> tuple[Recipe, ...]:
    if table is None:
        return RECIPES
    known = sorted({name for recipe in RECIPES for name in recipe.tables})
    rows = tuple(recipe for recipe in RECIPES if table in recipe.tables)
    if not rows:
        raise ValueError(f"--table must be one of {', '.join(known)}, got {table!r}")
    return rows


def _plain(recipe: Recipe, results: Sequence[Result], *, asked: bool) -> dict[str, Any]:
    row = {field: getattr(recipe, field) for field in ("name", "tables", "row", "published")}
    if asked:
        row["ours"] = [{**r.metrics, r.items: r.count, "summary": r.path} for r in results if r.recipe == recipe.name]
    return row


def _table(kind: Kind, recipes: Sequence[Recipe], results: Sequence[Result], *, title: str | None) -> Table:
    """Narrow enough for 80 columns: the metrics of a row stand in one cell, in the order of the heading."""
    named = {recipe.name for recipe in recipes}
    known = (*(recipe.published for recipe in recipes), *(r.metrics for r in results if r.recipe in named))
    keys = [key for key in kind.metrics if any(key in metrics for metrics in known)]
    units = f" (%: {' / '.join(kind.metrics[key] for key in keys)})" if keys else ""
    of = "of the recipes" if title is None else f"of Table {title}"
    heading = f"Published results {of}{', and ours' if results else ''}{units}"
    table = Table(title=heading, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("recipe", no_wrap=True)
    for name in ("row", "tables") if not results else ("tables",):
        table.add_column(name)
    table.add_column("published", justify="right", no_wrap=True)
    if results:
        table.add_column("ours", justify="right", no_wrap=True)
        table.add_column(kind.items, justify="right")
    for recipe in recipes:
        texts = [", ".join(recipe.tables), _percent(recipe.published, keys)]
        first = [recipe.name, *([] if results else [recipe.row]), *texts]
        own = [result for result in results if result.recipe == recipe.name] or [None]
        for number, result in enumerate(own):
            ours = [] if not results else _ours(kind, recipe, result, keys)
            table.add_row(*(first if number == 0 else [""] * len(first)), *ours)
    return table


def _ours(kind: Kind, recipe: Recipe, result: Result | None, keys: Sequence[str]) -> list[str]:
    """The cells of a result; a mark where published ones are no comparison."""
    if result is None:
        return ["", ""]
    mark = "" if kind.report.on_published_data(recipe, result.content) else _OTHER_DATA
    return [_percent(result.metrics, keys) + mark, str(result.count)]


def _percent(metrics: dict[str, float], keys: Sequence[str]) -> str:
    return " / ".join(f"{metrics[key]:.1f}" for key in keys if key in metrics)
