"""Arguments that several commands take: a recipe with any of its fields overridden, and errors that help."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import itertools
import re
import typing
from argparse import ArgumentError
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from jsonargparse import ArgumentParser, Namespace  # pyright: ignore[reportPrivateImportUsage]

from nonlocalnet.commands.options.config_file import ConfigFile, fields_in, names_in
from nonlocalnet.engine.config import SECTIONS, Recipe
from nonlocalnet.system.numeric import LARGEST
from nonlocalnet.system.typed import TYPED, typed_as

CONFIG = "--config"

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)
Section = TypeVar("Section")


def make_parser(command: str, description: str, *, usage: str | None = None) -> ArgumentParser:
    """A parser that raises instead of ending the process, so that every command's errors look alike."""
    return ArgumentParser(
        prog=f"nonlocalnet {command}", description=description, usage=usage, exit_on_error=False, print_config=None
    )


def parse(parser: ArgumentParser, argv: Sequence[str]) -> Namespace:
    """Parse `argv`. In an option's name hyphens and underscores are the same.

    Returns:
        The arguments, and under `TYPED` which of them were given, for those that would do nothing to be refused.

    Raises:
        ValueError: With the parser's message and, for a misspelt option, the nearest one that exists; or an argument is
            empty.
    """
    spelt = _files_first(_as_spelt(_options(parser), argv))
    _refuse_empty(_options(parser), spelt)
    try:
        parsed = parser.parse_args(spelt)
        parsed[TYPED] = _typed(parser, spelt, parsed)
    except RecursionError:
        raise ValueError("an option's value is nested too deep") from None
    except ArgumentError as error:
        said = _as_typed(" ".join(str(error).split()), parser, spelt)
        # A misspelt option is why one is not known, or why what it stands for is missing; nothing else.
        misspelt = "unrecognized arguments" in said or "arguments are required" in said
        raise ValueError(f"{said}{_nearest_option(parser, spelt) if misspelt else ''}") from None
    _refuse_too_large(parsed)
    return parsed


def _refuse_too_large(parsed: Namespace) -> None:
    """No size or count is above `LARGEST`; a seed, which is neither, has a bound of its own."""
    for field, option in parsed[TYPED].items():
        given = parsed.get(field)
        for value in given if isinstance(given, (list, tuple)) else (given,):
            if isinstance(value, int) and abs(value) > LARGEST and field.rpartition(".")[2] != "seed":
                raise ValueError(f"{option} must be a whole number of at most {LARGEST:,}, got {value}")


def _refuse_empty(options: Sequence[str], argv: Sequence[str]) -> None:
    """An empty argument means nothing; as a path it would be the current folder."""
    for place, argument in enumerate(argv):
        name, sign, value = argument.partition("=")
        before = argv[place - 1] if place else ""
        if argument and not (sign and not value and name in options):
            continue
        where = name or (before if before in options else f"argument {place + 1}")
        raise ValueError(f"{where} is empty, as of a variable that is not set: give it a value, or leave it out")


def _options(parser: ArgumentParser) -> list[str]:
    return [option for action in parser._actions for option in action.option_strings]


def _as_spelt(known: Sequence[str], argv: Sequence[str]) -> list[str]:
    """`argv` with the hyphens and underscores that the options are known by; anything else as it is."""
    spelt = {option.replace("_", "-"): option for option in known}

    def one(argument: str) -> str:
        name, sign, value = argument.partition("=")
        if not name.startswith("--") or name == "--":
            return argument
        asked = name.replace("_", "-")
        # The beginning of one option's name is enough, as argparse has it.
        begun = [option for hyphened, option in spelt.items() if hyphened.startswith(asked)]
        return spelt.get(asked, begun[0] if len(begun) == 1 else name) + sign + value

    return [one(argument) for argument in argv]


def _files_first(argv: Sequence[str]) -> list[str]:
    """`argv` with --config in front: what stands on the command line wins, wherever it stands."""
    files, rest, left = [], [], iter(argv)
    for argument in left:
        if argument.partition("=")[0] == CONFIG:
            files += [argument] if "=" in argument else [argument, *itertools.islice(left, 1)]
        else:
            rest.append(argument)
    return files + rest


def _typed(parser: ArgumentParser, argv: Sequence[str], parsed: Namespace | None = None) -> dict[str, str]:
    """Field -> how it was given: by its option, or in the file of --config; those of an option that takes a section.

    What a file says that holds anyway, by `parsed`, is not counted: a whole configuration may be given.
    """
    fields = {option: action.dest for action in parser._actions for option in action.option_strings}
    found: dict[str, str] = {}
    for place, argument in enumerate(argv):
        option, sign, value = argument.partition("=")
        if option not in fields:
            continue
        value = value if sign else "".join(argv[place + 1 : place + 2])
        if fields[option] == "config":
            fields_of_file = [
                field for field in fields_in(value) if parsed is None or parsed[field] != parser.get_default(field)
            ]
            found |= {field: f"{field} of {value}" for field in fields_of_file}
        elif fields[option] in SECTIONS:
            found |= {f"{fields[option]}.{name}": f"{name} of {option}" for name in names_in(value)}
        else:
            found[fields[option]] = option
    return found


def _as_typed(message: str, parser: ArgumentParser, argv: Sequence[str]) -> str:
    """An error of the parser's with options named as users type them, or by their file: it names their fields."""
    typed = {option.removeprefix("--").replace("-", "_"): option for option in _options(parser)}
    with contextlib.suppress(ValueError, TypeError):  # what keeps a file from being read is the error itself
        typed |= _typed(parser, argv)

    def required(match: re.Match[str]) -> str:
        return match[1] + ", ".join(typed.get(name, name) for name in match[2].split(", "))

    message = message.partition("; use sys.set_int_max_str_digits")[0]  # Python's, of a number of 5000 digits
    message = re.sub(r"(arguments are required: )(.*)", required, message)
    message = re.sub(r'Parser key "([\w.]+)"', lambda m: typed.get(m[1].replace("-", "_"), m[0]), message)
    return _in_words(message)


def _in_words(message: str) -> str:
    """An error about a value's type as a sentence: the parser names Python's types."""
    if dash := re.fullmatch(r"argument (\S+): expected one argument", message):
        option = dash[1].split("/")[-1]
        return f"{message}; a value that begins with a hyphen is written {option}=VALUE"
    if one := re.fullmatch(r"(.+?): Expected an? (.+?)\. Got value: (.*)", message, re.DOTALL):
        name, kinds, value = one[1], [one[2]], one[3]
    elif several := re.fullmatch(
        r"(.+?): Does not validate against any of the Union subtypes Subtypes: .* Given value: (.*)", message, re.DOTALL
    ):
        name, kinds, value = (
            several[1],
            re.findall(r"- Expected an? (.+?)\.?(?= - | Given value type| Got value|$)", message),
            several[2],
        )
    else:
        return message
    words = [_kind_in_words(kind) for kind in kinds]
    return message if None in words or not words else f"{name} must be {' or '.join(map(str, words))}, got {value!r}"


def _kind_in_words(kind: str) -> str | None:
    if choices := re.fullmatch(r"typing\.Literal\[(.*)\]", kind):
        return f"one of {choices[1]}"
    return _KINDS.get(kind.removeprefix("<class '").removesuffix("'>"))


_KINDS = {
    "int": "a whole number",
    "float": "a finite number",
    "bool": "true or false",
    "list": "a list such as '[1, 2]'",
    "tuple": "a list such as '[1, 2]'",
    "NoneType": "null",
    "str": "a text",
}


def _nearest_option(parser: ArgumentParser, argv: Sequence[str]) -> str:
    known = _options(parser)
    for argument in argv:
        option = argument.split("=")[0]
        if option.startswith("--") and option not in known:
            near = difflib.get_close_matches(option, [name for name in known if name != "--help"], n=1)
            return f"; did you mean {near[0]}?" if near else f"; `{parser.prog} --help` lists the options"
    return ""


def bytes_of(megabytes: float) -> int:
    """`--most-mb` in bytes.

    Raises:
        ValueError: It is not above 0, or beyond any file.
    """
    if not 0 < megabytes <= 1e9:
        raise ValueError(f"--most-mb must be above 0{' and at most 1e9' if megabytes > 0 else ''}, got {megabytes:g}")
    return max(1, round(megabytes * 1e6))


def add_device(parser: ArgumentParser) -> None:
    """Add `--device` for the commands that only run a network."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="'auto' takes a GPU where there is one"
    )


def recipe_name(parsers: Iterable[ArgumentParser], argv: Sequence[str]) -> str | None:
    """The first argument that is neither an option nor an option's value, wherever it stands; None without one.

    Args:
        parsers: Those that `argv` may be meant for. They know which options take no value; all others take one.
        argv: A command's arguments.
    """
    flags = {option for parser in parsers for a in parser._actions if a.nargs == 0 for option in a.option_strings}
    rest = iter(argv)
    for argument in rest:
        if not argument.startswith("-"):
            return argument
        if "=" not in argument and argument.replace("_", "-") not in flags:
            next(rest, None)
    return None


def add_recipe(parser: ArgumentParser, base: Recipe) -> None:
    """Add `RECIPE [--config FILE] [--section.field value ...]`, the recipe's own values being the defaults.

    A value on the command line wins over one in the YAML file, and that over the recipe's.
    """
    parser.add_argument("recipe", help="name of a recipe; `nonlocalnet recipes` lists them")
    parser.add_argument(CONFIG, action=ConfigFile, help="YAML file with fields of the recipe to override")
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print the recipe with all that was given and what follows from it, a file for --config, and end",
    )
    # The fields that users type most have a short form.
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="short for --trainer.device")
    parser.add_argument("--devices", type=int, help="short for --trainer.devices")
    parser.add_argument("--limit", type=int, help="short for --data.limit: a quick look at so many of each list")
    for section in SECTIONS:
        add_section(parser, section, getattr(base, section))


def add_section(parser: ArgumentParser, section: str, own: Any) -> None:
    """Add the fields of a section of a recipe, with its values as the defaults."""
    parser.add_class_arguments(type(own), section)
    parser.set_defaults({f"{section}.{field}": value for field, value in vars(own).items()})


# Their own names are those of their fields.
_SHORTS = (("trainer", "device"), ("trainer", "devices"), ("optim", "batch_size"), ("data", "limit"))


def parse_recipe(parser: ArgumentParser, argv: Sequence[str]) -> Namespace:
    """Parse what `add_recipe` added; what a short form says stands in its field.

    Raises:
        ValueError: A misspelt field, a value of another type, or a field and its short form.
    """
    parsed = parse(parser, argv)
    for section, short in _SHORTS:
        if parsed.get(short) is None:
            continue
        if short not in parsed[section]:
            raise ValueError(f"--{short} is short for --{section}.{short}, which this recipe does not have")
        if (given := typed_as(parsed, f"{section}.{short}") or "").startswith("--"):
            raise ValueError(f"{typed_as(parsed, short)} is short for {given}; give one of them")
        parsed[section][short] = parsed[short]
    return parsed


def with_fields(recipe: AnyRecipe, parsed: Namespace) -> AnyRecipe:
    """The recipe with the parsed fields, validated again.

    Raises:
        ValueError: A field is out of range, by its option, or its name and the file that it stands in.
    """
    try:
        sections = {name: section_of(getattr(recipe, name), parsed[name], name=name) for name in SECTIONS}
        return dataclasses.replace(recipe, **sections)
    except ValueError as error:
        field, space, reason = str(error).partition(" ")
        raise ValueError(f"{typed_as(parsed, field) or field}{space}{reason}") from None


def section_of(own: Section, values: Namespace, *, name: str) -> Section:
    """A section with the parsed values of its fields.

    Raises:
        ValueError: A field is out of range, or null in a file where it must have a value; by its name.
    """
    given = {field.name: values[field.name] for field in dataclasses.fields(own)}  # pyright: ignore[reportArgumentType]
    for field, hint in typing.get_type_hints(type(own)).items():
        # jsonargparse lets null of a file pass whatever the type; of the command line it does not.
        if given[field] is None and type(None) not in typing.get_args(hint):
            raise ValueError(f"{name}.{field} must have a value, got null; leave it out for the recipe's own")
    return dataclasses.replace(own, **given)  # pyright: ignore[reportArgumentType]
