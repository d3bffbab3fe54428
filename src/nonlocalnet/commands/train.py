"""`nonlocalnet train RECIPE`: train a recipe, resume it, or fine-tune from a file."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace  # pyright: ignore[reportPrivateImportUsage]

from nonlocalnet.commands.options.configuration import show_configuration
from nonlocalnet.commands.options.parsing import make_parser, with_fields
from nonlocalnet.commands.options.resolve import resolve_recipe
from nonlocalnet.engine.run_folder import LAST, RECIPE, require_free
from nonlocalnet.engine.scaling import describe_scaling, scale_to_batch_size, scale_to_steps
from nonlocalnet.runs.kinds import Kind
from nonlocalnet.system.odd_files import parse_json
from nonlocalnet.system.processes import is_first_process
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.typed import refuse_typed

log = logging.getLogger(__name__)

_MOST_EPOCHS = 1_000_000  # a slip of the keyboard would run for years


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet train RECIPE --data.root DIR ...`."""
    if not is_first_process():  # of several, one speaks
        logging.getLogger("nonlocalnet").setLevel(logging.WARNING)
    kind, parsed, recipe, base, own = resolve_recipe(argv, make=_make_parser, rebase=_rebase)
    _say_what_follows(kind, recipe, base, own, parsed)
    console = make_console(quiet=not is_first_process())
    if parsed.init is None:
        refuse_typed(parsed, ["init_anyway"], "without --init FILE")
    if recipe.optim.batch_size == own.optim.batch_size and recipe.schedule.steps == own.schedule.steps:
        refuse_typed(parsed, ["no_rescale"], "where batch size and number of steps are the recipe's")
    for field, needed in (("warmup_factor", "warmup_steps"), ("gamma", "milestones")):
        if not getattr(recipe.schedule, needed):
            refuse_typed(parsed, [f"schedule.{field}"], f"without schedule.{needed}", in_files=False)
    further = kind.options.train_arguments(parsed)
    if parsed.dry_run:
        if parsed.init is not None:
            kind.plan.check_start(recipe, init=parsed.init, init_anyway=parsed.init_anyway, **further)
        show_configuration(console, recipe, own)
        kind.plan.show_plan(console, recipe)
        counted = parsed.epochs is not None or (own.epochs is not None and parsed.data.root is not None)
        counted = counted or _has_classes_of_data(recipe, base, own)
        read = ["the training list"] if counted else []
        read += [] if parsed.init is None else [str(parsed.init)]
        was = f"{' and '.join(read)} {'were' if len(read) > 1 else 'was'} read, nothing written"
        console.print(f"dry run: {was if read else 'nothing was read or written'}")
        return 0
    out = Path(parsed.out or f"runs/{recipe.name}")
    require_free(out, resume=parsed.resume)
    result = kind.train.train_recipe(
        recipe, out=out, resume=parsed.resume, init=parsed.init, init_anyway=parsed.init_anyway, **further
    )
    console.print(f"{result.steps} steps done; last checkpoint: {result.last}")
    if result.best_quality is not None:
        quality = kind.report.quality_name(recipe)
        where = f"in {result.best}" if result.best is not None else f"whose checkpoint is no longer in {out}"
        console.print(f"best validation {quality}: {result.best_quality:.1f}%, {where}")
    return 0


def _rebase(kind: Kind, own: Any, parsed: Namespace) -> Any:
    """The recipe scaled to its batch size and steps, unless told not to, for as many classes as the data have."""
    scaled = _for_batch_size(kind, own, parsed)
    saved = _run_to_resume(kind, own, parsed)
    if saved is not None and saved.optim.batch_size == parsed.optim.batch_size:
        # A run goes on with its own rate and schedule, by whatever rule they were found.
        rate = own.optim.lr if saved.optim.batch_size == own.optim.batch_size else saved.optim.lr
        scaled = replace(scaled, optim=replace(scaled.optim, lr=rate), schedule=saved.schedule)
    given = with_fields(scaled, parsed)
    classes = kind.data.count_classes(given)
    if classes is not None and parsed.model.num_classes == own.model.num_classes != classes:
        scaled = replace(scaled, model=replace(scaled.model, num_classes=classes))
        given = replace(given, model=replace(given.model, num_classes=classes))
    steps = None if parsed.schedule.steps == own.schedule.steps else parsed.schedule.steps
    epochs = _epochs(own, parsed, steps=steps)
    if saved is not None and parsed.epochs is None:  # it goes on with its own length
        epochs = None
    if epochs is not None:
        steps = math.ceil(epochs * kind.data.count_training(given) / given.optim.batch_size)
    if steps is None or steps < 1:
        return scaled
    if saved is not None:  # longer or shorter, by the milestones that it has
        return replace(scaled, schedule=replace(scaled.schedule, steps=steps))
    schedule = replace(scaled.schedule, steps=steps) if parsed.no_rescale else scale_to_steps(scaled.schedule, steps)
    return replace(scaled, schedule=schedule)


def _epochs(own: Any, parsed: Namespace, *, steps: int | None) -> float | None:
    """The passes through the training data that are asked for, or the recipe's own; None where the steps say it.

    Raises:
        ValueError: --epochs is out of range, or stands beside the steps.
    """
    if parsed.epochs is None:
        return own.epochs if steps is None and parsed.data.root is not None else None
    if not 0 < parsed.epochs <= _MOST_EPOCHS or steps is not None:  # so written, it refuses NaN too
        raise ValueError(
            f"--epochs must be above 0 and at most {_MOST_EPOCHS:,}, and not beside --schedule.steps, got "
            f"{parsed.epochs:g}"
        )
    return parsed.epochs


def _for_batch_size(kind: Kind, own: Any, parsed: Namespace) -> Any:
    chosen = kind.options.apply_options(own, parsed)
    batch_size = parsed.optim.batch_size
    if parsed.no_rescale or batch_size == own.optim.batch_size or batch_size < 1:
        return chosen
    return scale_to_batch_size(chosen, batch_size)


def _say_what_follows(kind: Kind, recipe: Any, base: Any, own: Any, parsed: Namespace) -> None:
    """What differs from the recipe as it is listed without having been given."""
    if base.optim.batch_size != own.optim.batch_size:
        log.info("%s", describe_scaling(kind.options.apply_options(own, parsed), recipe))
    before = _for_batch_size(kind, own, parsed).schedule
    follows = scale_to_steps(before, recipe.schedule.steps)
    if recipe.schedule.steps != before.steps and recipe.schedule == follows and follows.milestones:
        log.info(
            "schedule.steps is %d: milestones %s, warm-up of %d steps, in proportion; --no-rescale keeps the recipe's",
            *(follows.steps, list(follows.milestones), follows.warmup_steps),
        )
    if _has_classes_of_data(recipe, base, own):
        log.info("model.num_classes is %d, as the training data say", recipe.model.num_classes)


def _has_classes_of_data(recipe: Any, base: Any, own: Any) -> bool:
    return recipe.model.num_classes == base.model.num_classes != own.model.num_classes


def _run_to_resume(kind: Kind, own: Any, parsed: Namespace) -> Any | None:
    """The recipe in the folder of the run that is to be resumed; None where there is none to read, which is said."""
    file = Path(parsed.out or f"runs/{own.name}") / RECIPE
    if not parsed.resume or not (file.exists() or (file.parent / LAST).exists()):
        return None
    try:
        return kind.read_recipe(parse_json(file.read_text()))
    except (OSError, ValueError, TypeError, KeyError):
        # The checkpoint says what the run was; this file only spares typing.
        log.warning("%s cannot be read: what is not given is as in the recipe %s", file, own.name)
        return None


def _make_parser(kind: Kind) -> ArgumentParser:
    parser = make_parser(
        "train",
        "Train a recipe. Any of its fields can be overridden, --SECTION.FIELD VALUE or in a YAML file; "
        "torchrun or SLURM start it on several machines. With another batch size, the learning rate and the "
        "schedule follow by the linear rule, with other steps the milestones in proportion, but for what is given.",
        usage="nonlocalnet train RECIPE --data.root DIR [options]",
    )
    parser.add_argument("--out", help="folder of the run, new or empty unless resumed; default: runs/RECIPE")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out from its last checkpoint")
    parser.add_argument(
        "--init", help="weights of any program whose matching tensors start the network; a 2-D ResNet starts its trunk"
    )
    parser.add_argument(
        "--init-anyway",
        action="store_true",
        help="start from --init although its numbers mean something else in this network, such as another pairwise",
    )
    kind.options.add_train_options(parser)
    parser.add_argument("--batch-size", type=int, help="short for --optim.batch_size")
    parser.add_argument("--epochs", type=float, help="the length of the run as passes through the training data")
    parser.add_argument(
        "--no-rescale", action="store_true", help="keep lr and milestones with another batch size or number of steps"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show the configuration, and what the run would do and need; write nothing",
    )
    return parser
