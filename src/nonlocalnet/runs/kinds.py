"""The kinds of run, one row each. Nobody else asks which kind a recipe is: whoever needs to know asks its row.

A kind is a folder beside this file. Its files have the same names as every other kind's: config, data, network, task,
card, train, test, predict, explain, serve, report, and

    options     what the command line may say beside the fields of the recipe
    plan        what a run would do and need
    show        what `nonlocalnet inspect` says

The classes below say what the others find in them. Files are imported when first asked for, since PyTorch, Lightning
and Matplotlib take seconds.
"""

from __future__ import annotations

import importlib
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args

from rich.console import Console

from nonlocalnet.engine.config import Recipe
from nonlocalnet.formats import CARD_KEY, OpenedFile
from nonlocalnet.formats import kind_of as kind_of_card
from nonlocalnet.models.sequence.names import SequenceName
from nonlocalnet.runs.detection import config as detection
from nonlocalnet.runs.sequence import config as sequence
from nonlocalnet.runs.video import config as video

if TYPE_CHECKING:
    from nonlocalnet.engine.train import TrainResult


class OptionsFile(Protocol):
    """What a kind's options.py has."""

    TEST_FIELDS: Mapping[str, Collection[str]]
    """By section, the fields of a recipe that a test reads."""

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

    def refuse_idle(self, parsed: Namespace) -> None:
        """Refuse fields that were given on the command line and that the network does not read.

        `parsed` has the sections `model` and `data`.
        """
        ...


class DataFile(Protocol):
    """What a kind's data.py has."""

    def count_classes(self, recipe: Any) -> int | None:
        """How many classes the data have, where their files say so before they are read."""
        ...

    def count_training(self, recipe: Any) -> int:
        """How many items a training has."""
        ...


class TrainFile(Protocol):
    """What a kind's train.py has."""

    def train_recipe(self, recipe: Any, *, out: str | Path, **further: Any) -> TrainResult[Any]:
        """Train; every kind takes `resume`, `init`, `init_anyway`, `progress` and `callbacks`."""
        ...


class OpenedWeights(Protocol):
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


class TestFile(Protocol):
    """What a kind's test.py has."""

    __test__ = False  # the name is not a pytest class

    def open_weights(self, path: str | Path, **further: Any) -> OpenedWeights:
        """Read a file of weights."""
        ...

    def test_recipe(self, recipe: Any, *, weights: Any, out: str | Path, **further: Any) -> Tested:
        """Test a file of weights, or one that was read; every kind takes `progress`."""
        ...


class ReportFile(Protocol):
    """What a kind's report.py has."""

    def quality_name(self, recipe: Any) -> str:
        """What a validation is judged by."""
        ...

    def on_published_data(self, recipe: Any, content: dict[str, Any]) -> bool:
        """Whether a summary.json is of the data that the recipe's published results are of."""
        ...

    def show_test(self, console: Console, recipe: Any, summary: Any, *, compared: bool) -> None:
        """Print what a test came to, and published results beside it if they are a comparison."""
        ...

    def read_summary(self, content: dict[str, Any]) -> tuple[dict[str, float], int]:
        """Metrics by the keys of `Kind.metrics`, and how many items were tested; KeyError for another kind's."""
        ...


class PlanFile(Protocol):
    """What a kind's plan.py has."""

    def show_plan(self, console: Console, recipe: Any) -> None:
        """Print what a run would do and need."""
        ...

    def check_start(self, recipe: Any, *, init: str | Path, init_anyway: bool, **further: Any) -> None:
        """Start a network from a file as `train_recipe` would, and forget it."""
        ...


class ShowFile(Protocol):
    """What a kind's show.py has."""

    def show_recipe(self, console: Console, recipe: Any, *, model: Any, size: str | None) -> None:
        """Print what a recipe's network, with the fields in `model`, is made of and costs for an input of `--input`."""
        ...

    def show_file(self, console: Console, opened: OpenedFile, parsed: Namespace) -> None:
        """Print what a file of weights holds, and its network; `parsed` has what `inspect` takes."""
        ...


class ExplainFile(Protocol):
    """What a kind's explain.py has."""

    def explain_weights(self, opened: OpenedFile, parsed: Namespace, *, device: Any) -> Any:
        """The `nonlocalnet.explanation.Explanation` of a user's file; `parsed` has what `explain` takes."""
        ...


class ServedNetwork(Protocol):
    """A network that is ready for one file after the other."""

    @property
    def name(self) -> str:
        """What it is called, such as "NL I3D-50"."""
        ...

    @property
    def takes(self) -> str:
        """What its files are, "video" or "image", as browsers call them."""
        ...

    @property
    def has_blocks(self) -> bool:
        """Whether there are non-local blocks to explain."""
        ...

    def predict(self, path: Path) -> tuple[dict[str, Any], Any]:
        """What is in a file as plain data, and a picture uint8 (3, H, W) with it drawn, None for none.

        Raises:
            ValueError: It is no such file, or a broken one.
        """
        ...

    def explain(self, path: Path) -> Any:
        """The `nonlocalnet.explanation.Explanation` of a file that was predicted."""
        ...


class ServeFile(Protocol):
    """What a kind's serve.py has."""

    def open_served(self, opened: OpenedFile, parsed: Namespace, *, device: Any) -> ServedNetwork:
        """The network of a file of weights; `parsed` has what `serve` takes."""
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
        read_recipe: Makes a recipe of what a file holds of it, older files included.
    """

    name: str
    recipe: type[Recipe]
    networks: tuple[str, ...]
    items: str
    metrics: Mapping[str, str]
    read_recipe: Callable[[Mapping[str, Any]], Recipe]

    @property
    def options(self) -> OptionsFile:
        """Its options.py."""
        return self._file("options")

    @property
    def data(self) -> DataFile:
        """Its data.py."""
        return self._file("data")

    @property
    def train(self) -> TrainFile:
        """Its train.py."""
        return self._file("train")

    @property
    def test(self) -> TestFile:
        """Its test.py."""
        return self._file("test")

    @property
    def report(self) -> ReportFile:
        """Its report.py."""
        return self._file("report")

    @property
    def plan(self) -> PlanFile:
        """Its plan.py."""
        return self._file("plan")

    @property
    def show(self) -> ShowFile:
        """Its show.py."""
        return self._file("show")

    @property
    def explain(self) -> ExplainFile:
        """Its explain.py."""
        return self._file("explain")

    @property
    def serve(self) -> ServeFile:
        """Its serve.py."""
        return self._file("serve")

    def _file(self, name: str) -> Any:
        return importlib.import_module(f"{__package__}.{self.name}.{name}")


KINDS = (
    Kind(video.KIND, video.VideoRecipe, tuple(video.ARCHITECTURES), "videos", video.METRICS, video.recipe_from_plain),
    Kind(
        detection.KIND,
        detection.DetectionRecipe,
        get_args(detection.DetectorName),
        "images",
        detection.METRICS,
        detection.recipe_from_plain,
    ),
    Kind(
        sequence.KIND,
        sequence.SequenceRecipe,
        get_args(SequenceName),
        "sequences",
        sequence.METRICS,
        sequence.recipe_from_plain,
    ),
)
"""Every kind; the first is the one whose fields `--help` shows where no recipe is named."""


def kind_of(recipe: Recipe) -> Kind:
    """The row of a recipe's kind."""
    return next(kind for kind in KINDS if type(recipe) is kind.recipe)


def kind_of_file(opened: OpenedFile) -> Kind:
    """The row of the kind that a file of weights is of; what other programs write are video networks.

    Raises:
        ValueError: Its card names a kind that this version does not have.
    """
    card = opened.content.get(CARD_KEY) if isinstance(opened.content, dict) else None
    name = kind_of_card(card) if isinstance(card, dict) else video.KIND
    found = next((kind for kind in KINDS if kind.name == name), None)
    if found is None:
        raise ValueError(f"{opened.path} holds a network of the kind {name!r}, which this version does not have")
    return found
