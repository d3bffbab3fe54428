"""`nonlocalnet inspect FILE|RECIPE|NETWORK`: what a network is made of, and what it costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser  # pyright: ignore[reportPrivateImportUsage]

from nonlocalnet.commands.options.parsing import add_section, make_parser, parse, recipe_name, section_of
from nonlocalnet.formats import open_file
from nonlocalnet.models.hub import is_hub_id
from nonlocalnet.recipes import recipe as find_recipe
from nonlocalnet.runs.kinds import KINDS, kind_of, kind_of_file
from nonlocalnet.runs.video.options import add_asked
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.typed import refuse_typed

_ASKED = ("clip", "pairwise", "scale", "subsample")


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet inspect TARGET`."""
    target = recipe_name([_make_parser()], argv)
    recipe = None if target is None else _recipe(target)
    parser = _make_parser()
    shown: Any = KINDS[0].recipe("") if recipe is None else recipe
    add_section(parser, "model", shown.model)
    parsed = parse(parser, argv)
    console = make_console()
    if recipe is None:
        opened = open_file(parsed.target)
        kind = kind_of_file(opened)
        refuse_typed(parsed, ["model."], f"on {parsed.target}: it holds a network of its own")
        if kind is not KINDS[0]:
            why = f"on {parsed.target}: it is for networks that classify videos, and this one is for {kind.items}"
            refuse_typed(parsed, _ASKED, why)
        kind.show.show_file(console, opened, parsed)
    else:
        refuse_typed(parsed, (*_ASKED, "list_keys"), f"on {parsed.target}: it is for files of weights")
        kind = kind_of(recipe)
        parsed.data = recipe.data  # no option of this command: what the recipe's network is for
        kind.options.refuse_idle(parsed)
        model = section_of(recipe.model, parsed.model, name="model")
        kind.show.show_recipe(console, recipe, model=model, size=parsed.input)
    return 0


def _make_parser() -> ArgumentParser:
    parser = make_parser(
        "inspect",
        "Show a network's layers, blocks, parameters and multiply-adds.",
        usage="nonlocalnet inspect FILE|RECIPE|NETWORK [options]",
    )
    networks = ", ".join(network for kind in KINDS for network in kind.networks)
    parser.add_argument("target", help=f"a checkpoint file, a recipe, or a network: {networks}")
    parser.add_argument("--keys", dest="list_keys", action="store_true", help="list every name of a file beside ours")
    add_asked(parser)
    parser.add_argument(
        "--input",
        help="frames x height x width, such as 32x224x224, or of a detector height x width; default: as in training",
    )
    return parser


def _recipe(target: str) -> Any:
    """The recipe of that name, one made of the network of that name, or None for a file."""
    for kind in KINDS:
        if target in kind.networks:
            made: Any = kind.recipe(target)
            return dataclasses.replace(made, model=dataclasses.replace(made.model, architecture=target))
    if Path(target).exists() or is_hub_id(target):
        return None
    try:
        return find_recipe(target)
    except ValueError as error:
        if Path(target).suffix:
            raise FileNotFoundError(f"{target}: there is no such file") from None
        raise ValueError(f"{target!r} is neither a file nor a network, and {error}") from None
