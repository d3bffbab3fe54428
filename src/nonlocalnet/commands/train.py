"""`nonlocalnet train RECIPE`: train a recipe, resume it, or fine-tune from a file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from jsonargparse import Namespace  # pyright: ignore[reportPrivateImportUsage]
from rich.console import Console

from nonlocalnet.commands import train_detection
from nonlocalnet.commands.dry_run import show_plan
from nonlocalnet.commands.options.parsing import add_batch_size, make_parser, parse_with_recipe
from nonlocalnet.engine.config import Recipe
from nonlocalnet.engine.scaling import describe_scaling, scale_to_batch_size
from nonlocalnet.engine.train import is_first_process
from nonlocalnet.formats.inflate import How
from nonlocalnet.recipes import DETECTION_RECIPES
from nonlocalnet.recipes import recipe as find_recipe
from nonlocalnet.runs.video.plan import plan_run
from nonlocalnet.runs.video.train import train_recipe

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet train RECIPE --data.root DIR ...`."""
    if argv and argv[0] in {recipe.name for recipe in DETECTION_RECIPES}:
        return train_detection.main(argv)
    if not is_first_process():  # of several, one speaks
        logging.getLogger("nonlocalnet").setLevel(logging.WARNING)
    parsed, recipe = resolve(argv)
    console = Console(quiet=not is_first_process())
    if parsed.dry_run:
        show_plan(console, plan_run(recipe))
        return 0
    out = Path(parsed.out or f"runs/{recipe.name}")
    result = train_recipe(recipe, out=out, resume=parsed.resume, init=parsed.init, init_inflation=parsed.init_inflation)
    console.print(f"{result.steps} steps done; last checkpoint: {result.last}", markup=False, highlight=False)
    if result.best is not None:
        quality = "mAP" if recipe.model.multi_label else "top-1"
        console.print(
            f"best validation {quality}: {result.best_quality:.1f}%, in {result.best}", markup=False, highlight=False
        )
    return 0


def resolve(argv: Sequence[str]) -> tuple[Namespace, Recipe]:
    """The parsed arguments and the recipe with its overridden fields, scaled to its batch size unless told not to.

    Raises:
        ValueError: As `parse_with_recipe` does.
    """
    parsed, recipe = _parse(argv, find=find_recipe)
    base = find_recipe(recipe.name)
    batch_size = recipe.optim.batch_size
    if parsed.no_rescale or batch_size == base.optim.batch_size:
        return parsed, recipe
    # Parsed again with the scaled values as defaults: what the user gave wins over them.
    parsed, scaled = _parse(argv, find=lambda name: scale_to_batch_size(find_recipe(name), batch_size))
    log.info("%s", describe_scaling(base, scaled))
    return parsed, scaled


def _parse(argv: Sequence[str], *, find: Callable[[str], Recipe]) -> tuple[Namespace, Recipe]:
    parser = make_parser(
        "train",
        "Train a recipe. Any of its fields can be overridden, --SECTION.FIELD VALUE or in a YAML file; "
        "torchrun or SLURM start it on several machines. With another batch size, the learning rate and the "
        "schedule follow by the linear rule, but for what is given.",
        usage="nonlocalnet train RECIPE --data.root DIR [options]",
    )
    parser.add_argument("--out", help="folder of the run, new or empty unless resumed; default: runs/RECIPE")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out from its last checkpoint")
    parser.add_argument(
        "--init", help="weights of any program whose matching tensors start the network; a 2-D ResNet inflates"
    )
    parser.add_argument(
        "--init-inflation",
        choices=get_args(How),
        default="average",
        help="a 2-D kernel in time: copies divided by their number, or once at the centre",
    )
    add_batch_size(parser)
    parser.add_argument("--no-rescale", action="store_true", help="keep lr and schedule with another optim.batch_size")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show the configuration, the network, and memory and time of a step; read and write nothing",
    )
    return parse_with_recipe(parser, argv, find=find)
