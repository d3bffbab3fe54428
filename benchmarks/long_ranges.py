"""Tasks with long ranges: the same recurrence without and with blocks, several seeds, trained and tested.

    python benchmarks/long_ranges.py adding_t400 copy_t1000 --seeds 3 --processes 2
    python benchmarks/long_ranges.py adding_t1000 --arms gru dot_product positions --seeds 1
    python benchmarks/long_ranges.py adding_t400 --arms positions random every longest_g pooled key_blocks
    python benchmarks/long_ranges.py recurring_digits --seeds 1 --root DIR
    python benchmarks/long_ranges.py adding_t400 --show            # the tables of what is there; nothing is trained

Every arm is a recipe (`nonlocalnet recipes`), trained as it stands and tested by its last checkpoint, so no number is
the best of several. Each training has one torch thread. All is kept in --out: what was ended goes on there, what is
finished is not repeated, and the tables say what was not run.
"""

import argparse
import dataclasses
import json
import logging
import multiprocessing
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from nonlocalnet.recipes.sequences import POSITIONS, RECIPES
from nonlocalnet.runs.sequence.config import SequenceRecipe
from nonlocalnet.runs.sequence.report import SequenceSummary
from nonlocalnet.runs.sequence.show import steps_of
from nonlocalnet.runs.sequence.test import test_recipe
from nonlocalnet.runs.sequence.train import TRAINING, train_recipe
from nonlocalnet.system.files import write_atomically


def _mse(summary: SequenceSummary) -> float:
    return summary.sums.mse


def _accuracy(summary: SequenceSummary) -> float:
    return summary.sums.accuracy


def _copied(summary: SequenceSummary) -> float:
    """Percent of the symbols at the end that are right; the blanks before them, class 0, are told by all."""
    asked = summary.sums.confusion[1:]
    return 100 * float(asked[:, 1:].trace() / asked.sum())


@dataclass(frozen=True)
class Task:
    """What is measured of a task.

    Attributes:
        name: Of the figure.
        figure: The figure, of a test.
        chance: What it is without having learned anything.
    """

    name: str
    figure: Callable[[SequenceSummary], float]
    chance: str


TASKS = {
    **{f"adding_t{length}": Task("mean squared error", _mse, "0.167") for length in (100, 400, 1000, 2000)},
    "copy_t1000": Task("symbols right (%)", _copied, "12.5"),
    "recall_k64": Task("values right (%)", _accuracy, "12.5"),
    "mentions_text": Task("accuracy (%)", _accuracy, "25"),
    "recurring_tones": Task("accuracy (%)", _accuracy, "50"),
    "recurring_digits": Task("accuracy (%)", _accuracy, "50"),
}


def recipes_of(task: str) -> dict[str, SequenceRecipe]:
    """The recipes of a task, by arm."""
    start = f"{task}_"
    return {recipe.name.removeprefix(start): recipe for recipe in RECIPES if recipe.name.startswith(start)}


def comparisons(recipe: SequenceRecipe) -> dict[str, dict[str, Any]]:
    """What stands beside learned positions: fields of the network that are other than in their recipe."""
    given = {"positions_anneal_steps": 0, "positions_random": 0}
    none = {**given, "positions": None}
    return {
        "4_positions": {"positions": 4},
        "not_annealed": {"positions_anneal_steps": 0},
        "distilled": {"positions_distil": 8},
        "random": {**given, "positions_by": "random"},
        "every": {**given, "positions_by": "every"},
        "longest_g": {**given, "positions_by": "norm"},
        "pooled": {**none, "subsample": steps_of(recipe) // POSITIONS},
        "key_blocks": {**none, "key_blocks_size": POSITIONS, "key_blocks_count": 1},
    }


def arms_of(task: str) -> dict[str, SequenceRecipe]:
    """The recipes of a task and the comparisons, by arm."""
    recipes = recipes_of(task)
    learned = recipes["positions"]
    others = {
        arm: dataclasses.replace(learned, name=f"{task}_{arm}", model=dataclasses.replace(learned.model, **fields))
        for arm, fields in comparisons(learned).items()
    }
    return recipes | others


def run(task: str, recipe: SequenceRecipe, folder: Path, root: str | None) -> float:
    """Train, or go on, and test; returns the minutes of this call."""
    torch.set_num_threads(1)
    logging.getLogger("nonlocalnet").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    started = time.perf_counter()
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, root=root))
    begun = folder.exists() and any(folder.iterdir())
    trained = train_recipe(recipe, out=folder, resume=begun, progress=False)
    with tempfile.TemporaryDirectory() as temporary:
        summary = test_recipe(recipe, weights=trained.last, out=Path(temporary) / "test", progress=False)
    content = {"figure": TASKS[task].figure(summary), **json.loads((folder / TRAINING).read_text())}
    write_atomically(_result(folder), json.dumps(content, indent=1) + "\n")
    return (time.perf_counter() - started) / 60


def _result(folder: Path) -> Path:
    return folder.with_suffix(".json")


def run_all(options: argparse.Namespace, console: Console) -> None:
    """Run what is not finished, seed by seed, so that every arm has one first."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=options.processes, mp_context=context) as pool:
        waiting = {}
        for task in options.tasks:
            for seed in range(options.seeds):
                for arm, recipe in arms_of(task).items():
                    folder = options.out / f"{recipe.name}-seed{seed}"
                    if arm not in (options.arms or recipes_of(task)) or _result(folder).exists():
                        continue
                    seeded = dataclasses.replace(recipe.trainer, seed=seed, device="cpu")
                    recipe = dataclasses.replace(recipe, trainer=seeded)
                    waiting[pool.submit(run, task, recipe, folder, options.root)] = folder.name
        for done in as_completed(waiting):
            console.print(f"{waiting[done]}: {done.result():.1f} minutes", highlight=False)


def show(task: str, options: argparse.Namespace, console: Console) -> None:
    """One row an arm: mean, lowest and highest over the seeds, and the steps to an error of 0.01."""
    adds = task.startswith("adding")
    table = Table(title=f"{task}: {TASKS[task].name} of the test (untaught: {TASKS[task].chance})")
    for column in ("arm", "seeds", "mean", "lowest to highest", *(["steps to 0.01"] if adds else [])):
        table.add_column(column, justify="left" if column == "arm" else "right")
    for arm, recipe in arms_of(task).items():
        if arm not in (options.arms or recipes_of(task)):
            continue
        files = [_result(options.out / f"{recipe.name}-seed{seed}") for seed in range(options.seeds)]
        found: list[dict[str, Any]] = [json.loads(file.read_text()) for file in files if file.exists()]
        if not found:
            table.add_row(arm, "0", "not run")
            continue
        figures = [one["figure"] for one in found]
        spread = f"{min(figures):.3g} to {max(figures):.3g}" if len(figures) > 1 else ""
        steps = [_steps(found)] if adds else []
        table.add_row(arm, str(len(found)), f"{statistics.fmean(figures):.3g}", spread, *steps)
    console.print(table)


def _steps(found: list[dict[str, Any]]) -> str:
    """Of every seed; a dash where the error was never below."""
    return ", ".join(str(one["steps_to_reach_it"] or "-") for one in found)


def main() -> None:
    """Parse the options, run what is not finished, print the tables."""
    parser = argparse.ArgumentParser(description="Recurrences without and with blocks on tasks with long ranges.")
    parser.add_argument("tasks", nargs="+", choices=list(TASKS), help="which tasks")
    beside = ", ".join(comparisons(recipes_of("adding_t400")["positions"]))
    parser.add_argument("--arms", nargs="+", help=f"of each task; its recipes by default, beside them {beside}")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0")
    parser.add_argument("--processes", type=int, default=2, help="trainings at once")
    parser.add_argument("--root", help="folder of the spoken digits")
    parser.add_argument("--out", type=Path, default=Path("long_ranges"), help="where runs and results are kept")
    parser.add_argument("--show", action="store_true", help="only print the tables")
    options = parser.parse_args()
    known = {arm for task in options.tasks for arm in arms_of(task)}
    unknown = [arm for arm in options.arms or () if arm not in known]
    if unknown:
        parser.error(f"arms are {', '.join(sorted(known))}; received {', '.join(unknown)}")
    console = Console(width=None if Console().is_terminal else 120)
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.show:
        run_all(options, console)
    for task in options.tasks:
        show(task, options, console)


if __name__ == "__main__":
    main()
