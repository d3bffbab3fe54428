"""`nonlocalnet train RECIPE` for a recipe on images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from nonlocalnet.cli.arguments import make_parser, parse_with_recipe
from nonlocalnet.engine.train import is_first_process
from nonlocalnet.recipes import detection_recipe
from nonlocalnet.recipes.detection import train_detection_recipe


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet train RECIPE --data.root DIR ...`."""
    parser = make_parser(
        "train",
        "Train a detection recipe. Any of its fields can be overridden, --SECTION.FIELD VALUE or in a YAML file; "
        "torchrun or SLURM start it on several machines.",
        usage="nonlocalnet train RECIPE --data.root DIR [options]",
    )
    parser.add_argument("--out", help="folder of the run, new or empty unless resumed; default: runs/RECIPE")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out from its last checkpoint")
    parser.add_argument(
        "--init", help="checkpoint or state dict whose matching tensors start the detector; a 2-D ResNet its trunk"
    )
    parsed, recipe = parse_with_recipe(parser, argv, find=detection_recipe)
    if not is_first_process():  # of several, one speaks
        logging.getLogger("nonlocalnet").setLevel(logging.WARNING)
    out = Path(parsed.out or f"runs/{recipe.name}")
    result = train_detection_recipe(recipe, out=out, resume=parsed.resume, init=parsed.init)
    console = Console(quiet=not is_first_process())
    console.print(f"{result.steps} steps done; last checkpoint: {result.last}", markup=False, highlight=False)
    if result.best is not None:
        kind = "keypoint AP" if recipe.model.has_keypoints else "mask AP"
        console.print(
            f"best validation {kind}: {result.best_quality:.1f}%, in {result.best}", markup=False, highlight=False
        )
    return 0
