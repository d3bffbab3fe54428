"""`nonlocalnet test RECIPE --weights FILE`: score a list of videos by the recipe's protocol."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from nonlocalnet.cli.arguments import SECTIONS, make_parser, parse_with_recipe
from nonlocalnet.engine.config import Recipe, TrainerConfig
from nonlocalnet.engine.testing import TestSummary
from nonlocalnet.recipes import recipe as find_recipe
from nonlocalnet.recipes.assemble import test_recipe
from nonlocalnet.zoo import CARD_KEY, read_checkpoint

_SHOWN_CLASSES = 10


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet test RECIPE --weights FILE --data.root DIR ...`."""
    parser = make_parser(
        "test",
        "Test weights on the recipe's test list: scores.csv, summary.json and confusion.png in --out. Where the "
        "weights were trained by this recipe, its settings are those of that training unless overridden here.",
        usage="nonlocalnet test RECIPE --weights FILE --data.root DIR [options]",
    )
    parser.add_argument("--weights", required=True, help="checkpoint of a training run, such as best.ckpt")
    parser.add_argument("--out", help="folder for the results, new or empty; default: results/RECIPE")
    for argument in argv:
        if argument.startswith(("--model.", "--optim.", "--schedule.")):
            raise ValueError(f"{argument.split('=')[0]} has no effect on a test: the network comes from --weights")
    saved = _saved_recipe(argv)
    parsed, recipe = parse_with_recipe(parser, argv, find=partial(_find_recipe, saved=saved))
    out = Path(parsed.out or f"results/{recipe.name}")
    summary = test_recipe(recipe, weights=parsed.weights, out=out)
    _show(recipe, summary, out, trained_by_it=saved is not None and saved.name == recipe.name)
    return 0


def _find_recipe(name: str, *, saved: Recipe | None) -> Recipe:
    """The recipe of a name with the weights' network, all of it from the weights if they were trained by it."""
    if saved is None:
        return find_recipe(name)
    return saved if saved.name == name else replace(find_recipe(name), model=saved.model)


def _saved_recipe(argv: Sequence[str]) -> Recipe | None:
    """The recipe that the weights named in `argv` were trained by; None where no weights are named.

    What concerned that run's machine, or only its quick look, is left out.
    """
    early = ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--weights")
    weights = early.parse_known_args(list(argv))[0].weights
    if weights is None:
        return None
    saved: dict[str, Any] = read_checkpoint(weights)[CARD_KEY]["recipe"]
    sections = {name: kind(**saved[name]) for name, kind in SECTIONS.items()}
    data = replace(sections["data"], limit=None)
    return Recipe(**{**saved, **sections, "data": data, "trainer": TrainerConfig()})


def _show(recipe: Recipe, summary: TestSummary, out: Path, *, trained_by_it: bool) -> None:
    console = Console()
    table = Table(title=f"{recipe.name} on {summary.videos} videos", title_justify="left")
    for column in ("", "top-1 (%)", "top-5 (%)"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("measured here", f"{summary.top1:.2f}", f"{summary.top5:.2f}")
    if recipe.published and trained_by_it:
        table.add_row("published, on Kinetics-400", *(f"{recipe.published[key]:.1f}" for key in ("top1", "top5")))
    console.print(table)
    if summary.unreadable:
        console.print(f"{summary.unreadable} videos could not be read and count as wrong; summary.json lists them")
    shares = [c / v for c, v in zip(summary.class_correct, summary.class_videos, strict=True) if v]
    console.print(f"mean per-class accuracy over {len(shares)} classes: {100 * sum(shares) / len(shares):.2f}%")
    console.print(f"{out}/scores.csv, summary.json, confusion.png", highlight=False)
