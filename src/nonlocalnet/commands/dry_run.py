"""`nonlocalnet train RECIPE --dry-run`: the resolved configuration, the network, and what a step needs."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich.console import Console
from rich.table import Table

from nonlocalnet.commands.inspect import show_network
from nonlocalnet.commands.options.parsing import SECTIONS
from nonlocalnet.engine.config import Recipe
from nonlocalnet.recipes import recipe as find_recipe
from nonlocalnet.runs.video.plan import Plan


def show_plan(console: Console, plan: Plan) -> None:
    """Print a plan."""
    _show_configuration(console, plan.recipe)
    show_network(console, plan.model, plan.summary)
    _show_needs(console, plan)


def _show_configuration(console: Console, recipe: Recipe) -> None:
    table = Table(title=f"{recipe.name}: {recipe.row}", title_justify="left")
    table.add_column("field", no_wrap=True)
    table.add_column("value")
    table.add_column("recipe", style="dim")
    base = find_recipe(recipe.name)
    for section in SECTIONS:
        values = dataclasses.asdict(getattr(recipe, section))
        own = dataclasses.asdict(getattr(base, section))
        for field, value in values.items():
            changed = value != own[field]
            table.add_row(
                f"{section}.{field}",
                _text(value),
                _text(own[field]) if changed else "",
                style="bold" if changed else None,
            )
        table.add_section()
    console.print(table)


def _show_needs(console: Console, plan: Plan) -> None:
    memory, recipe = plan.memory, plan.recipe
    processes = recipe.trainer.devices * recipe.trainer.num_nodes
    title = f"one step: {processes} processes x {plan.micro_batches} micro-batches x {plan.micro_batch} clips"
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_row("weights, gradients, momentum", *_sizes(memory.weights, memory.gradients, memory.momentum))
    kept = "inputs of all blocks, and the largest block" if recipe.trainer.recompute else "all of a micro-batch"
    table.add_row("features kept for the backward pass", f"{_gib(memory.features)} ({kept})")
    table.add_row("memory of a process, estimated", f"{_gib(memory.total)}, and workspace of the convolutions")
    if plan.measured_memory is not None:
        table.add_row("memory of a process, measured", f"{_gib(plan.measured_memory)} at most")
    seconds = "-" if plan.step_seconds is None else _duration(plan.step_seconds)
    table.add_row("time of a step, without reading videos", f"{seconds} ({plan.time_is})")
    if plan.step_seconds is not None:
        total = _duration(plan.step_seconds * recipe.schedule.steps)
        table.add_row("time of the run", f"{total} for {recipe.schedule.steps:,} steps, by the above")
    console.print(table)
    console.print("dry run: nothing was read or written", highlight=False)


def _text(value: Any) -> str:
    return "null" if value is None else str(list(value)) if isinstance(value, tuple) else str(value)


def _sizes(*sizes: int) -> tuple[str]:
    return (" + ".join(_gib(size) for size in sizes),)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.2f} s"
