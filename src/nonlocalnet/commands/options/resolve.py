"""From a command's arguments to the recipe that it runs, of whatever kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jsonargparse import ArgumentParser, Namespace  # pyright: ignore[reportPrivateImportUsage]

from nonlocalnet.commands.options.configuration import as_yaml
from nonlocalnet.commands.options.parsing import add_recipe, parse, parse_recipe, recipe_name, with_fields
from nonlocalnet.recipes import recipe as find_recipe
from nonlocalnet.runs.kinds import KINDS, Kind, kind_of


class Resolved(NamedTuple):
    """A run that was asked for.

    Attributes:
        kind: Its kind.
        parsed: The command's arguments.
        recipe: The recipe with everything that was given.
        base: The recipe whose values hold where nothing was given.
        own: The recipe as it is listed.
    """

    kind: Kind
    parsed: Namespace
    recipe: Any
    base: Any
    own: Any


def resolve_recipe(
    argv: Sequence[str],
    *,
    make: Callable[[Kind], ArgumentParser],
    rebase: Callable[[Kind, Any, Namespace], Any],
) -> Resolved:
    """Find the recipe that is named, and parse twice.

    What is given may change what holds where nothing is given: another batch size the learning rate, weights the whole
    recipe. So the arguments are parsed with the recipe's own values, and again with those that follow from them.

    Args:
        argv: The command's arguments.
        make: Makes the command's parser for a kind of run.
        rebase: Gives the recipe whose values hold where nothing is given.

    Raises:
        ValueError: No or an unknown recipe, or a misspelt or out-of-range field, by its name.
        SystemExit: The recipe was asked for, and is printed.
    """
    parsers = {kind.name: make(kind) for kind in KINDS}
    name = recipe_name(parsers.values(), argv)
    if name is None:
        return _without_recipe(parsers[KINDS[0].name], argv)
    own = find_recipe(name)
    kind = kind_of(own)
    first = parsers[kind.name]
    add_recipe(first, own)
    base = rebase(kind, own, parse_recipe(first, argv))
    parser = make(kind)
    add_recipe(parser, base)
    parsed = parse_recipe(parser, argv)
    recipe = with_fields(base, parsed)
    if parsed.print_config:
        print(as_yaml(recipe), end="")
        raise SystemExit(0)
    return Resolved(kind, parsed, recipe, base, own)


def _without_recipe(parser: ArgumentParser, argv: Sequence[str]) -> Resolved:
    """Show the help, or raise what is wrong."""
    add_recipe(parser, KINDS[0].recipe(""))
    parse(parser, argv)
    raise ValueError(f"name a recipe: {parser.prog} RECIPE [options], got {' '.join(argv)!r}")
