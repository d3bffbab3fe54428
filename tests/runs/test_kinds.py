"""Every kind of run has what the table promises."""

from __future__ import annotations

import inspect
import typing
from pathlib import Path
from types import ModuleType

import pytest

from nonlocalnet import runs
from nonlocalnet.engine.config import SECTIONS
from nonlocalnet.recipes import RECIPES
from nonlocalnet.runs import kinds
from nonlocalnet.runs.kinds import KINDS, Kind, kind_of

FILES = (
    "config",
    "data",
    "network",
    "task",
    "card",
    "train",
    "test",
    "predict",
    "explain",
    "serve",
    "report",
    "options",
    "plan",
    "show",
)
PARTS = ("data", "options", "train", "test", "explain", "serve", "report", "plan", "show")


def test_the_table_holds_every_folder() -> None:
    folders = {path.name for path in Path(runs.__path__[0]).iterdir() if (path / "__init__.py").exists()}
    assert folders == {kind.name for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_has_the_same_files(kind: Kind) -> None:
    folder = Path(runs.__path__[0]) / kind.name
    assert {f"{name}.py" for name in FILES} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("part", PARTS)
def test_every_file_has_the_functions_that_the_others_call(kind: Kind, part: str) -> None:
    module = getattr(kind, part)
    assert isinstance(module, ModuleType)
    promised = getattr(kinds, typing.get_type_hints(getattr(Kind, part).fget)["return"].__name__)
    functions = {name: f for name, f in vars(promised).items() if inspect.isfunction(f) and not name.startswith("_")}
    assert functions
    for name, function in functions.items():
        wanted = list(inspect.signature(function).parameters.values())[1:]
        given = inspect.signature(getattr(module, name)).parameters
        for parameter in wanted:
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                assert given[parameter.name].kind == parameter.kind, f"{kind.name}/{part}.py: {name}({parameter.name})"
        extra = set(given) - {parameter.name for parameter in wanted}
        open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in wanted)
        assert open_ended or not extra


def test_every_recipe_is_of_a_kind() -> None:
    assert {kind_of(recipe).name for recipe in RECIPES} == {kind.name for kind in KINDS}
    for recipe in RECIPES:
        assert all(hasattr(recipe, section) for section in SECTIONS)
        assert getattr(recipe, "model").architecture in kind_of(recipe).networks  # noqa: B009  the kind's own section
        shown = {key for key in recipe.published if key in kind_of(recipe).metrics}
        assert bool(shown) == bool(recipe.published)
