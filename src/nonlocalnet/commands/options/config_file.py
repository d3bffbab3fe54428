"""`--config FILE`: the fields of a YAML file, checked by name before jsonargparse takes them over."""

from __future__ import annotations

import difflib
from argparse import Action
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace  # pyright: ignore[reportPrivateImportUsage]

from nonlocalnet.system.media import refuse_media
from nonlocalnet.system.odd_files import require_file


class ConfigFile(ActionConfigFile):
    """jsonargparse's action for a YAML file, with errors that name the file and the nearest field."""

    def __call__(self, parser: ArgumentParser, cfg: Namespace, values: Any, option_string: str | None = None) -> None:
        """Add the file's fields to the parsed arguments.

        Raises:
            TypeError: The file is missing, is not YAML or has a field that does not exist (jsonargparse reports this
                type as the user's error).
        """
        options = {action.dest: action for action in parser._actions}
        known = set(options)
        sections = {name.rpartition(".")[0] for name in known} - {""}
        for field, value in _fields_of(_read_mapping(Path(values)), sections):
            if field in sections:
                raise TypeError(f"{values}: {field} is a section and must hold fields by name, got {value!r}")
            if field not in known:
                raise TypeError(f"{values}: there is no field {field}{_nearest(field, known)}")
            _require_type(str(values), field, value, options[field])
        super().__call__(parser, cfg, values, option_string)


def _require_type(path: str, field: str, value: object, option: Action) -> None:
    """Of options without a type of their own, whose values the parser would take as they come."""
    if "." in field:
        return  # of a section, whose class says the types
    if option.nargs == 0 and not isinstance(value, bool):
        raise TypeError(f"{field} of {path} must be true or false, got {value!r}")
    if option.nargs is None and option.type is None and option.choices is None and not isinstance(value, str | None):
        raise TypeError(f"{field} of {path} must be a text, got {value!r}")


def fields_in(path: str) -> list[str]:
    """The dotted names of the fields in a file that `ConfigFile` has taken."""
    content = _read_mapping(Path(path))
    sections = {key for key, value in content.items() if isinstance(value, dict)}
    return [field for field, _ in _fields_of(content, sections)]


def names_in(section: str) -> list[str]:
    """The fields that the value of an option such as --optim names: YAML, or a file of it.

    Raises:
        ValueError: One of them stands twice; the parser has read the rest.
    """
    try:
        content = yaml.load(Path(section).read_text() if Path(section).is_file() else section, _OnceOnly)
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"{section}: {error.problem}") from None
    return [str(name) for name in content] if isinstance(content, dict) else []


class _OnceOnly(yaml.SafeLoader):
    """YAML in which a field that stands twice is an error, where the last one would count."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"{twice} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _read_mapping(path: Path) -> dict[Any, Any]:
    try:
        require_file(path)
        refuse_media(path, expected="a YAML file")
    except ValueError as error:
        raise TypeError(str(error)) from None
    except OSError:
        pass  # said below
    try:
        content = yaml.load(path.read_text(), _OnceOnly)
    except OSError as error:
        raise TypeError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TypeError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except ValueError as error:  # such as a whole number of more digits than Python reads
        raise TypeError(f"{path} holds a value that cannot be read: {str(error).partition(';')[0]}") from None
    except RecursionError:
        raise TypeError(f"{path} is nested too deep") from None
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise TypeError(f"{path} must hold fields by section, such as {{optim: {{lr: 0.02}}}}, and holds {found}")
    return content


def _fields_of(content: dict[Any, Any], sections: set[str]) -> Iterator[tuple[str, Any]]:
    """The fields by their dotted names, with their values; those of a misspelt section too."""
    for key, value in content.items():
        if isinstance(value, dict) and (key in sections or value):
            yield from ((f"{key}.{field}", inner) for field, inner in value.items())
        else:
            yield str(key), value


def _nearest(field: str, known: set[str]) -> str:
    """Names the field of the same name in another section, or else the one that is spelt most like it."""
    own_name = field.rpartition(".")[2]
    near = [name for name in sorted(known) if name.rpartition(".")[2] == own_name]
    near = near or difflib.get_close_matches(field, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
