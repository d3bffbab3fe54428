"""The kinds of run, one row each. Nobody else asks which kind a recipe is: whoever needs to know asks its row.

A kind is a folder beside this file. Its files have the same names as every other kind's: config, data, network, task,
card, train, test, predict, report, and

    options     what the command line may say beside the fields of the recipe
    plan        what a run would do and need
    show        what `nonlocalnet inspect` says

The classes below say what the others find in them. Files are imported when first asked for, since PyTorch, Lightning
and Matplotlib take seconds.
"""

from __future__ import annotations

import importlib
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console

from nonlocalnet.engine.config import Recipe
from nonlocalnet.runs.detection import config as detection
from nonlocalnet.runs.video import config as video

if TYPE_CHECKING:
    from nonlocalnet.engine.train import TrainResult


class Options(Protocol):
    """What a kind's options.py has."""

    def add_train_options(self, parser: ArgumentParser) -> None:
        """Add what `train` takes beside the recipe."""
        ...

    def train_arguments(self, parsed: Namespace) -> dict[str, Any]:
        """Further arguments of `train_recipe`."""
        ...

    def add_test_options(self, parser: ArgumentParser) -> None:
        """Add what `test` takes beside the recipe."""
        ...

    def weights_arguments(self, parsed: Namespace) -> dict[str, Any]:
        """Further arguments of `open_weights`."""
        ...

    def test_arguments(self, parsed: Namespace) -> dict[str, Any]:
        """Further arguments of `test_recipe`."""
        ...

    def apply_options(self, recipe: Any, parsed: Namespace) -> Any:
        """The recipe with what short options of either command stand for; fields that are given win over it."""
        ...


class Train(Protocol):
    """What a kind's train.py has."""

    def train_recipe(self, recipe: Any, *, out: str | Path, **further: Any) -> TrainResult[Any]:
        """Train; every kind takes `resume`, `init`, `progress` and `callbacks`."""
        ...


class Weights(Protocol):
    """A file of weights that was read once."""

    def trained_by(self, recipe: Any) -> bool:
        """Whether the recipe's published results are a comparison for them."""
        ...

    def protocol(self, recipe: Any) -> Any:
        """The recipe's protocol for them."""
        ...


class Tested(Protocol):
    """What a test comes to."""

    @property
    def quality(self) -> float:
        """The number that the test is judged by, in percent; more is better."""
        ...


class Test(Protocol):
    """What a kind's test.py has."""

    __test__ = False  # the name is not a pytest class

    def open_weights(self, path: str | Path, **further: Any) -> Weights:
        """Read a file of weights."""
        ...

    def test_recipe(self, recipe: Any, *, weights: Any, out: str | Path, **further: Any) -> Tested:
        """Test a file of weights, or one that was read; every kind takes `progress`."""
        ...


class Report(Protocol):
    """What a kind's report.py has."""

    def quality_name(self, recipe: Any) -> str:
        """What a validation is judged by."""
        ...

    def show_test(self, console: Console, recipe: Any, summary: Any, *, compared: bool) -> None:
        """Print what a test came to, and published results beside it if they are a comparison."""
        ...

    def read_summary(self, content: dict[str, Any]) -> tuple[dict[str, float], int]:
        """Metrics by the keys of `Kind.metrics`, and how many items were tested; KeyError for another kind's."""
        ...


class Plan(Protocol):
    """What a kind's plan.py has."""

    def show_plan(self, console: Console, recipe: Any) -> None:
        """Print what a run would do and need."""
        ...


class Show(Protocol):
    """What a kind's show.py has."""

    def show_recipe(self, console: Console, recipe: Any, *, model: Any, size: str | None) -> None:
        """Print what a recipe's network, with the fields in `model`, is made of and costs for an input of `--input`."""
        ...


@dataclass(frozen=True)
class Kind:
    """One kind of run.

    Attributes:
        name: The name, which is also that of its folder.
        recipe: The class of its recipes.
        networks: The networks that `model.architecture` may name.
        items: What its data are.
        metrics: Keys of `Recipe.published`, as columns are headed.
    """

    name: str
    recipe: type[Recipe]
    networks: tuple[str, ...]
    items: str
    metrics: Mapping[str, str]

    @property
    def options(self) -> Options:
        """Its options.py."""
        return self._file("options")

    @property
    def train(self) -> Train:
        """Its train.py."""
        return self._file("train")

    @property
    def test(self) -> Test:
        """Its test.py."""
        return self._file("test")

    @property
    def report(self) -> Report:
        """Its report.py."""
        return self._file("report")

    @property
    def plan(self) -> Plan:
        """Its plan.py."""
        return self._file("plan")

    @property
    def show(self) -> Show:
        """Its show.py."""
        return self._file("show")

    def _file(self, name: str) -> Any:
        return importlib.import_module(f"{__package__}.{self.name}.{name}")


KINDS = (
    Kind("video", video.VideoRecipe, tuple(video.ARCHITECTURES), "videos", video.METRICS),
    Kind("detection", detection.DetectionRecipe, tuple(detection.ARCHITECTURES), "images", detection.METRICS),
)
"""Every kind; the first is the one whose fields `--help` shows where no recipe is named."""


def kind_of(recipe: Recipe) -> Kind:
    """The row of a recipe's kind."""
    return next(kind for kind in KINDS if type(recipe) is kind.recipe)
