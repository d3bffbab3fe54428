"""Testing a network of sequences on a recipe's test data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nonlocalnet import formats
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.engine.run_folder import prepare_output, require_free
from nonlocalnet.engine.tested import about_test, require_any_read
from nonlocalnet.engine.validate import validate_once
from nonlocalnet.models.sequence.card import SequenceCard
from nonlocalnet.models.sequence.network import SequenceNetwork
from nonlocalnet.runs.sequence.card import known_of
from nonlocalnet.runs.sequence.config import SequenceRecipe, recipe_from_plain
from nonlocalnet.runs.sequence.data import build_loader, load_data
from nonlocalnet.runs.sequence.report import SequenceSummary, write_sequence_report
from nonlocalnet.runs.sequence.sources import SOURCES
from nonlocalnet.runs.sequence.task import SequenceTask
from nonlocalnet.system.processes import is_first_process


@dataclass(frozen=True)
class SequenceWeights:
    """A file of weights, read once.

    Attributes:
        path: The file, as it was given.
        network: Its network, on the CPU in eval mode.
        card: Its card.
        recipe: The recipe it was trained by; None where it was not trained here.
    """

    path: str
    network: SequenceNetwork
    card: SequenceCard
    recipe: SequenceRecipe | None

    def trained_by(self, recipe: SequenceRecipe) -> bool:
        """Whether they are of that recipe: only then are published results a comparison."""
        return self.recipe is not None and self.recipe.name == recipe.name

    def protocol(self, recipe: SequenceRecipe) -> SequenceRecipe:
        """A recipe's protocol for these weights: theirs if they were trained by it."""
        return self.recipe if self.recipe is not None and self.recipe.name == recipe.name else recipe


def open_weights(path: str | Path) -> SequenceWeights:
    """Read a file of weights.

    Of the recipe that it was trained by, what concerned that run's machine or only its quick look is left out.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or holds no network of sequences.
    """
    plan = formats.plan_sequence(formats.open_file(path))
    network, _ = formats.load(plan, strict=True)
    recipe = None
    if plan.card.recipe is not None:
        recipe = recipe_from_plain(plan.card.recipe)
        data = dataclasses.replace(recipe.data, limit=None)
        recipe = dataclasses.replace(recipe, data=data, trainer=TrainerConfig(channels_last=False))
    return SequenceWeights(str(path), network, plan.card, recipe)


def test_recipe(
    recipe: SequenceRecipe,
    *,
    weights: str | Path | SequenceWeights,
    out: str | Path,
    progress: bool = True,  # noqa: PT028  not a test
) -> SequenceSummary:
    """Test a network on the test data and write the files of `nonlocalnet.runs.sequence.report`.

    Args:
        recipe: Its `data` says which sequences; the network comes from the weights.
        weights: A file of a network of sequences, or what `open_weights` gave for it.
        out: Folder for the files; new or empty.
        progress: Show a progress bar on standard error.

    Returns:
        What the test comes to.

    Raises:
        ValueError: A setting, list or file is wrong, the data's classes are not the network's, or nothing could be
            read.
        FileNotFoundError: A list or file does not exist.
        OutputError: `out` cannot be used or written.
        NonFiniteError: A result is not finite.
    """
    out = Path(out)
    require_free(out, resume=False)
    choose_device(recipe.trainer.device)
    opened = weights if isinstance(weights, SequenceWeights) else open_weights(weights)
    recipe = _for_weights(recipe, opened)
    found = load_data(recipe, "test", known=known_of(opened.card))
    network = opened.network
    if is_first_process():
        prepare_output(out, resume=False)
    about = about_test(recipe, network, path=opened.path)
    task = SequenceTask(
        network,
        task=network.task,
        num_classes=network.num_classes,
        optim=OptimConfig(),
        schedule=ScheduleConfig(),
        seed=recipe.trainer.seed,
        start_step=0,
        last_good=str,
    )
    make_loader = partial(build_loader, recipe, found, limit=None)
    validate_once(task, make_loader=make_loader, trainer=recipe.trainer, out=out, progress=progress)
    assert task.sums is not None
    names = found.known.class_names or opened.card.class_names or [str(i) for i in range(network.num_classes or 0)]
    summary = SequenceSummary(task.sums, tuple(names), SOURCES[recipe.data.source].items)
    require_any_read(unreadable=int(task.sums.wrong), total=int(task.sums.sequences), items=summary.items)
    if is_first_process():
        write_sequence_report(out, summary, about=about)
    return summary


def _for_weights(recipe: SequenceRecipe, opened: SequenceWeights) -> SequenceRecipe:
    """The recipe with the network of the weights.

    Raises:
        ValueError: They do something else than its data ask for.
    """
    network, source = opened.network, SOURCES[recipe.data.source]
    if network.task != source.task:
        raise ValueError(
            f"{opened.path} holds a network for {network.task!r}, and data.source = {recipe.data.source!r} needs one "
            f"for {source.task!r}"
        )
    arguments = opened.card.arguments
    own = recipe.model if opened.recipe is None else opened.recipe.model
    model = dataclasses.replace(
        own,
        architecture=opened.card.architecture,
        num_classes=network.num_classes,
        sample_rate=arguments.get("sample_rate", own.sample_rate),
    )
    return dataclasses.replace(recipe, model=model)
