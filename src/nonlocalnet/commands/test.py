"""`nonlocalnet test RECIPE --weights FILE`: test weights by a recipe's protocol."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace  # pyright: ignore[reportPrivateImportUsage]

from nonlocalnet.commands.options.parsing import make_parser
from nonlocalnet.commands.options.resolve import resolve_recipe
from nonlocalnet.engine.config import SECTIONS
from nonlocalnet.engine.run_folder import require_free
from nonlocalnet.runs.kinds import Kind, OpenedWeights
from nonlocalnet.system.processes import is_first_process
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.typed import TYPED, is_on_command_line

log = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet test RECIPE --weights FILE --data.root DIR ...`."""
    opened: list[OpenedWeights] = []  # read once, between the two times that the arguments are parsed

    def rebase(kind: Kind, own: Any, parsed: Namespace) -> Any:
        _refuse_of_training(kind, parsed)
        require_free(_out(own, parsed), resume=False)
        opened.append(kind.test.open_weights(parsed.weights, **kind.options.weights_arguments(parsed)))
        return kind.options.apply_options(opened[0].protocol(own), parsed)

    kind, parsed, recipe, _, own = resolve_recipe(argv, make=_make_parser, rebase=rebase)
    out = _out(own, parsed)
    summary = kind.test.test_recipe(recipe, weights=opened[0], out=out, **kind.options.test_arguments(parsed))
    if is_first_process():
        console = make_console()
        kind.report.show_test(console, recipe, summary, compared=opened[0].trained_by(own))
        names = sorted(path.name for path in out.iterdir())
        console.print(f"{out}/: {', '.join(names)}")
    return 0


def _refuse_of_training(kind: Kind, parsed: Namespace) -> None:
    """Refuse fields that a test does not read; of a file of --config, which a training may share, say so.

    Raises:
        ValueError: Names the option.
    """
    of_file = []
    for field, option in parsed[TYPED].items():
        section, _, name = field.partition(".")
        if section not in SECTIONS or name in kind.options.TEST_FIELDS.get(section, ()):
            continue
        if is_on_command_line(option):
            why = "the network comes from --weights" if section == "model" else "it is for training"
            raise ValueError(f"{option} has no effect on a test: {why}")
        of_file.append(field)
    if of_file and is_first_process():
        log.info("%s: for training, and of no effect on this test: %s", parsed.config[-1], ", ".join(of_file))


def _out(own: Any, parsed: Namespace) -> Path:
    return Path(parsed.out or f"results/{own.name}")


def _make_parser(kind: Kind) -> ArgumentParser:
    parser = make_parser(
        "test",
        "Test weights on the recipe's test list or images; what they came to is printed and written to --out. Where "
        "the weights were trained by this recipe, its settings are those of that training unless overridden here.",
        usage="nonlocalnet test RECIPE --weights FILE --data.root DIR [options]",
    )
    parser.add_argument(
        "--weights", required=True, help="best.ckpt of a training run, or, of video networks, any published weights"
    )
    parser.add_argument("--out", help="folder for the results, new or empty; default: results/RECIPE")
    kind.options.add_test_options(parser)
    return parser
