"""Arguments that several commands take: a recipe with any of its fields overridden, and errors that help."""

from __future__ import annotations

import dataclasses
import difflib
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from typing import TypeVar

from jsonargparse import ArgumentParser, Namespace  # pyright: ignore[reportPrivateImportUsage]

from nonlocalnet.commands.options.config_file import ConfigFile
from nonlocalnet.engine.config import DataConfig, ModelConfig, OptimConfig, Recipe, ScheduleConfig, TrainerConfig
from nonlocalnet.runs.detection.config import DetectionRecipe

_Recipe = TypeVar("_Recipe", bound=Recipe | DetectionRecipe)

SECTIONS = {
    "model": ModelConfig,
    "data": DataConfig,
    "optim": OptimConfig,
    "schedule": ScheduleConfig,
    "trainer": TrainerConfig,
}


def make_parser(command: str, description: str, *, usage: str | None = None) -> ArgumentParser:
    """A parser that raises instead of ending the process, so that every command's errors look alike."""
    return ArgumentParser(prog=f"nonlocalnet {command}", description=description, usage=usage, exit_on_error=False)


def parse(parser: ArgumentParser, argv: Sequence[str]) -> Namespace:
    """Parse `argv`. In an option's name hyphens and underscores are the same.

    Raises:
        ValueError: With the parser's message and, for a misspelt option, the nearest one that exists.
    """
    try:
        return parser.parse_args(_as_spelt(_options(parser), argv))
    except ArgumentError as error:
        raise ValueError(f"{' '.join(str(error).split())}{_nearest_option(parser, argv)}") from None


def _options(parser: ArgumentParser) -> list[str]:
    return [option for action in parser._actions for option in action.option_strings]


def _as_spelt(known: Sequence[str], argv: Sequence[str]) -> list[str]:
    """`argv` with the hyphens and underscores that the options are known by; anything else as it is."""
    spelt = {option.replace("_", "-"): option for option in known}

    def one(argument: str) -> str:
        name, sign, value = argument.partition("=")
        found = spelt.get(name.replace("_", "-"), name) if name.startswith("--") else name
        return found + sign + value

    return [one(argument) for argument in argv]


def _nearest_option(parser: ArgumentParser, argv: Sequence[str]) -> str:
    known = _options(parser)
    for argument in argv:
        option = argument.split("=")[0]
        if option.startswith("--") and option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            return f"; did you mean {near[0]}?" if near else f"; `{parser.prog} --help` lists the options"
    return ""


def add_device(parser: ArgumentParser) -> None:
    """Add `--device` for the commands that only run a network."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="'auto' takes a GPU where there is one"
    )


def add_batch_size(parser: ArgumentParser) -> None:
    """Add the short form of `--optim.batch_size`, which `parse_with_recipe` reads, for the commands that train."""
    parser.add_argument("--batch-size", type=int, help="short for --optim.batch_size")


def parse_with_recipe(
    parser: ArgumentParser, argv: Sequence[str], *, find: Callable[[str], _Recipe]
) -> tuple[Namespace, _Recipe]:
    """Parse `RECIPE [--config FILE] [--section.field value ...]` and whatever else the parser already takes.

    A value on the command line wins over one in the YAML file, and that over the recipe's.

    Args:
        parser: The command's parser; it receives the recipe's fields.
        argv: The command's arguments.
        find: Gives the recipe of a name.

    Returns:
        The parsed arguments and the recipe with its overridden fields, validated again.

    Raises:
        ValueError: Unknown recipe, or a misspelt or out-of-range field, by its name.
    """
    parser.add_argument("recipe", help="name of a recipe; `nonlocalnet recipes` lists them")
    parser.add_argument("--config", action=ConfigFile, help="YAML file with fields of the recipe to override")
    # The fields that users type most have a short form.
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="short for --trainer.device")
    parser.add_argument("--devices", type=int, help="short for --trainer.devices")
    parser.add_argument("--limit", type=int, help="short for --data.limit: a quick look at so many of each list")
    # The recipe's fields depend on its kind, and its own values must be the defaults before parsing, so its name is
    # read first.
    name = next((argument for argument in argv if not argument.startswith("-")), None)
    base = find(name) if name is not None and argv[0] == name else None
    kinds = SECTIONS if base is None else {section: type(getattr(base, section)) for section in SECTIONS}
    for section, kind in kinds.items():
        parser.add_class_arguments(kind, section)
    if base is not None:
        for section in kinds:
            values = vars(getattr(base, section))
            parser.set_defaults({f"{section}.{field}": value for field, value in values.items()})
    parsed = parse(parser, argv)
    if base is None:
        raise ValueError(f"the recipe's name must come first: {parser.prog} RECIPE [options], got {' '.join(argv)!r}")
    shorts = (("trainer", "device"), ("trainer", "devices"), ("optim", "batch_size"), ("data", "limit"))
    for section, short in shorts:
        if parsed.get(short) is not None:
            parsed[section][short] = parsed[short]
    sections = {section: kind(**parsed[section].as_dict()) for section, kind in kinds.items()}
    return parsed, dataclasses.replace(base, **sections)
