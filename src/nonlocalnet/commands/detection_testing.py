"""`nonlocalnet test RECIPE --weights FILE` for a recipe on images: COCO's figures."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nonlocalnet import formats
from nonlocalnet.commands.options.parsing import make_parser, parse_with_recipe
from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.engine.train import is_first_process
from nonlocalnet.models.detection.card import DetectionCard
from nonlocalnet.recipes import detection_recipe
from nonlocalnet.runs.detection.coco_eval import FIGURES, CocoFigures
from nonlocalnet.runs.detection.coco_results import IouType
from nonlocalnet.runs.detection.config import DetectionRecipe, DetectionTrainerConfig
from nonlocalnet.runs.detection.network import saved_recipe
from nonlocalnet.runs.detection.report import per_class_rows
from nonlocalnet.runs.detection.test import test_detection_recipe

_SHOWN: dict[IouType, str] = {"bbox": "box", "segm": "mask", "keypoints": "keypoint"}
_PLURAL = {"box": "boxes", "mask": "masks", "keypoint": "keypoints"}
_NOT_OF_A_TEST = ("--model.", "--optim.", "--schedule.")


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet test RECIPE --weights FILE --data.root DIR ...`."""
    parser = make_parser(
        "test",
        "Test a detector on the recipe's validation images: detections in COCO's results format, per_class.csv and "
        "summary.json in --out. Where the weights were trained by this recipe, its settings are those of that training "
        "unless overridden here.",
        usage="nonlocalnet test RECIPE --weights FILE --data.root DIR [options]",
    )
    parser.add_argument("--weights", required=True, help="best.ckpt of a training run")
    parser.add_argument("--out", help="folder for the results, new or empty; default: results/RECIPE")
    for argument in argv:
        if argument.startswith(_NOT_OF_A_TEST):
            raise ValueError(f"{argument.split('=')[0]} has no effect on a test: the detector comes from --weights")
    saved = _saved(argv)
    parsed, recipe = parse_with_recipe(
        parser, argv, find=lambda name: saved if saved is not None and saved.name == name else detection_recipe(name)
    )
    out = Path(parsed.out or f"results/{recipe.name}")
    figures, labels = test_detection_recipe(recipe, weights=parsed.weights, out=out)
    if is_first_process():
        _show(recipe, figures, labels, out, trained_by_it=_is_the_recipes_own(saved, recipe.name))
    return 0


def _saved(argv: Sequence[str]) -> DetectionRecipe | None:
    """The recipe that the weights were trained by, without what concerned that run's machine or only its quick look."""
    early = ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--weights")
    weights = early.parse_known_args(list(argv))[0].weights
    if weights is None:
        return None
    plain = formats.read_checkpoint(weights)[formats.CARD_KEY]
    if formats.kind_of(plain) != DetectionCard.kind:
        return None  # opening it says what it is
    recipe = saved_recipe(DetectionCard.from_plain(plain, path=weights))
    return replace(recipe, data=replace(recipe.data, limit=None), trainer=DetectionTrainerConfig())


def _is_the_recipes_own(saved: DetectionRecipe | None, name: str) -> bool:
    """Whether the weights are of the recipe's network: only then are its published numbers a comparison."""
    return saved is not None and saved.name == name and saved.model == detection_recipe(name).model


def _show(
    recipe: DetectionRecipe, figures: dict[IouType, CocoFigures], labels: Labels, out: Path, *, trained_by_it: bool
) -> None:
    console = Console()
    for iou_type, found in figures.items():
        kind = _SHOWN[iou_type]
        published = {name: recipe.published.get(f"{kind}_{name.lower()}") for name in FIGURES[iou_type]}
        compared = trained_by_it and any(value is not None for value in published.values())
        table = Table(title=f"{recipe.name}: {_PLURAL[kind]} (%)", title_justify="left")
        table.add_column("")
        table.add_column("measured here", justify="right")
        if compared:
            table.add_column("published, on COCO", justify="right")
        for name in FIGURES[iou_type]:
            shown = published[name]
            table.add_row(name, _cell(found.figures[name]), *(["" if shown is None else f"{shown:.1f}"] * compared))
        console.print(table)
    classes = Table(title="AP of every class (%)", title_justify="left")
    classes.add_column("class")
    for iou_type in figures:
        classes.add_column(_SHOWN[iou_type], justify="right")
    for _, name, values in per_class_rows(figures, labels):
        classes.add_row(name, *map(_cell, values))
    console.print(classes)
    names = sorted(path.name for path in out.iterdir())
    console.print(f"{out}/: {', '.join(names)}", markup=False, highlight=False)


def _cell(value: float) -> str:
    return "" if value != value else f"{value:.2f}"  # NaN: nothing of the kind is annotated
