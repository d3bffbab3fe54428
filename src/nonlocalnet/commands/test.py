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

from nonlocalnet.commands import detection_testing
from nonlocalnet.commands.ensemble import METRICS, metric_cells
from nonlocalnet.commands.options.asked import add_asked, asked_of
from nonlocalnet.commands.options.inference import add_inference, inference_of
from nonlocalnet.commands.options.parsing import SECTIONS, make_parser, parse_with_recipe
from nonlocalnet.commands.options.views import parse_views
from nonlocalnet.engine.config import Recipe, TrainerConfig
from nonlocalnet.formats import plan_file
from nonlocalnet.recipes import DETECTION_RECIPES
from nonlocalnet.recipes import recipe as find_recipe
from nonlocalnet.runs.video.summary import TestSummary
from nonlocalnet.runs.video.test import test_recipe


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet test RECIPE --weights FILE --data.root DIR ...`."""
    if argv and argv[0] in {recipe.name for recipe in DETECTION_RECIPES}:
        return detection_testing.main(argv)
    parser = make_parser(
        "test",
        "Test weights on the recipe's test list: scores, summary.json and confusion.png in --out. Where the "
        "weights were trained by this recipe, its settings are those of that training unless overridden here.",
        usage="nonlocalnet test RECIPE --weights FILE --data.root DIR [options]",
    )
    parser.add_argument("--weights", required=True, help="best.ckpt of a training run, or any published weights")
    parser.add_argument("--out", help="folder for the results, new or empty; default: results/RECIPE")
    parser.add_argument(
        "--views", help="clips x crops, short for --data.test_clips and --data.test_crops: 10x3, 1xfull"
    )
    add_asked(parser)
    add_inference(parser)
    for argument in argv:
        if argument.startswith(("--model.", "--optim.", "--schedule.")):
            raise ValueError(f"{argument.split('=')[0]} has no effect on a test: the network comes from --weights")
    saved = _saved_recipe(argv)
    parsed, recipe = parse_with_recipe(parser, argv, find=partial(_find_recipe, saved=saved))
    if parsed.views is not None:
        clips, crops = parse_views(parsed.views)
        recipe = replace(recipe, data=replace(recipe.data, test_clips=clips, test_crops=crops))
    out = Path(parsed.out or f"results/{recipe.name}")
    summary = test_recipe(
        recipe, weights=parsed.weights, out=out, asked=asked_of(parsed), inference=inference_of(parsed)
    )
    _show(recipe, summary, out, trained_by_it=saved is not None and saved.name == recipe.name)
    return 0


def _find_recipe(name: str, *, saved: Recipe | None) -> Recipe:
    """The recipe of a name with the weights' network, all of it from the weights if they were trained by it."""
    if saved is None:
        return find_recipe(name)
    return saved if saved.name == name else replace(find_recipe(name), model=saved.model)


def _saved_recipe(argv: Sequence[str]) -> Recipe | None:
    """The recipe that the weights named in `argv` were trained by; None where no weights of a training here are named.

    What concerned that run's machine, or only its quick look, is left out.
    """
    early = ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--weights")
    add_asked(early)
    found = early.parse_known_args(list(argv))[0]
    if found.weights is None:
        return None
    saved: dict[str, Any] | None = plan_file(found.weights, asked_of(found)).card.recipe
    if saved is None:
        return None
    sections = {name: kind(**saved[name]) for name, kind in SECTIONS.items()}
    data = replace(sections["data"], limit=None)
    return Recipe(**{**saved, **sections, "data": data, "trainer": TrainerConfig()})


def _show(recipe: Recipe, summary: TestSummary, out: Path, *, trained_by_it: bool) -> None:
    console = Console()
    table = Table(title=f"{recipe.name} on {summary.videos} videos", title_justify="left")
    table.add_column("")
    for key in summary.metrics:
        table.add_column(METRICS[key], justify="right")
    table.add_row("measured here", *metric_cells(summary))
    if recipe.published and trained_by_it:
        on = "Charades" if recipe.model.multi_label else "Kinetics-400"
        table.add_row(f"published, on {on}", *(f"{recipe.published[key]:.1f}" for key in summary.metrics))
    console.print(table)
    if summary.unreadable:
        console.print(f"{summary.unreadable} videos could not be read and count as wrong; summary.json lists them")
    if summary.arithmetic is not None:
        console.print(str(summary.arithmetic), highlight=False)
    _show_classes(console, summary)
    names = sorted(path.name for path in out.iterdir())
    console.print(f"{out}/: {', '.join(names)}", highlight=False)


def _show_classes(console: Console, summary: TestSummary) -> None:
    if summary.map_by_pooling is not None and summary.class_ap is not None:
        pooled = ", ".join(f"{name} {value:.2f}%" for name, value in summary.map_by_pooling.items())
        console.print(f"mAP by pooling over the views: {pooled}", highlight=False)
        without = sum(ap is None for ap in summary.class_ap)
        if without:
            console.print(f"{without} classes have no video here and no part in the mean", highlight=False)
        return
    shares = [c / v for c, v in zip(summary.class_correct, summary.class_videos, strict=True) if v]
    console.print(f"mean per-class accuracy over {len(shares)} classes: {100 * sum(shares) / len(shares):.2f}%")
