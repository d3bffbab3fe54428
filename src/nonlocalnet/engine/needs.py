"""What one step of a run needs, whatever it trains on: how it is divided, its memory and its time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from nonlocalnet.engine.config import Recipe
from nonlocalnet.engine.estimate import StepMemory, estimate_cpu_seconds, estimate_memory, measure_cuda_step
from nonlocalnet.system.terminal import make_console

_HALVES = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True)
class StepNeeds:
    """What a step needs.

    Attributes:
        micro_batch: Items that one process computes at once.
        micro_batches: How often it does so in a step.
        memory: What one process holds, counted.
        measured_memory: Peak bytes of one process, where a GPU was tried; None elsewhere or where it did not fit.
        step_seconds: What one step takes, without reading its items; None where it did not fit.
        time_is: How `step_seconds` was found.
    """

    micro_batch: int
    micro_batches: int
    memory: StepMemory
    measured_memory: int | None
    step_seconds: float | None
    time_is: str


def step_needs(
    recipe: Recipe,
    device: torch.device,
    *,
    counted: nn.Module,
    tried: Callable[[], nn.Module],
    shape: tuple[int, ...],
    flops: int,
    item: str,
    smaller: str,
) -> StepNeeds:
    """Count what a step holds, and try out how long it takes.

    Args:
        recipe: The run, its arithmetic settled.
        device: Where it trains.
        counted: The network as it trains, on the meta device; it takes a micro-batch of `shape` and gives (N, K).
        tried: Makes it with values, on the CPU, in the form in which it is tried out on `device`.
        shape: Of one item: channels and sizes, the last two of which a CPU tries smaller.
        flops: Multiply-adds of the network for one item.
        item: What the run trains on, such as "clip".
        smaller: What makes a step fit that does not.

    Raises:
        ValueError: A setting is wrong, as in training.
    """
    trainer = recipe.trainer
    micro_batches = recipe.optim.accumulate
    micro_batch = recipe.optim.batch_size // (trainer.devices * trainer.num_nodes * micro_batches)
    memory = estimate_memory(
        counted,
        (micro_batch, *shape),
        recompute=trainer.recompute,
        dtype=_HALVES.get(trainer.precision, torch.float32),
    )
    seconds, peak = None, None
    if device.type == "cuda":
        how = f"measured: one micro-batch of random {item}s on this GPU"
        bf16 = trainer.precision != "32-true"
        try:
            with measuring():
                seconds, peak = measure_cuda_step(tried(), (micro_batch, *shape), device=device, bf16=bf16)
        except torch.OutOfMemoryError:
            how = f"it does not fit: {smaller}"
    else:
        how = f"estimated: a smaller {item} was measured on this CPU as busy as it is now, scaled by multiply-adds"
        repeated = 4 / 3 if trainer.recompute else 1.0  # a second forward pass
        with measuring():
            seconds = estimate_cpu_seconds(tried(), (1, *shape), flops=flops) * micro_batch * repeated
    return StepNeeds(
        micro_batch=micro_batch,
        micro_batches=micro_batches,
        memory=memory,
        measured_memory=peak,
        step_seconds=None if seconds is None else seconds * micro_batches,
        time_is=how,
    )


def measuring() -> AbstractContextManager[object]:
    """Say in a terminal that a step is being measured, which may take seconds."""
    return make_console(stderr=True).status("measuring a step")


def show_needs(console: Console, recipe: Recipe, needs: StepNeeds, *, item: str, reading: str) -> None:
    """Print what a step and the run need.

    Args:
        console: Where to.
        recipe: The run.
        needs: Of a step.
        item: As in `step_needs`.
        reading: What the time leaves out, such as "reading videos".
    """
    memory = needs.memory
    processes = recipe.trainer.devices * recipe.trainer.num_nodes
    title = f"one step: {processes} processes x {needs.micro_batches} micro-batches x {needs.micro_batch} {item}s"
    table = Table(title=title, title_justify="left", show_header=False)
    sizes = " + ".join(map(_gib, (memory.weights, memory.gradients, memory.momentum)))
    table.add_row("weights, gradients, momentum", sizes)
    kept = "inputs of all blocks, and the largest block" if recipe.trainer.recompute else "all of a micro-batch"
    table.add_row("features kept for the backward pass", f"{_gib(memory.features)} ({kept})")
    table.add_row("memory of a process, estimated", f"{_gib(memory.total)}, and workspace of the convolutions")
    if needs.measured_memory is not None:
        table.add_row("memory of a process, measured", f"{_gib(needs.measured_memory)} at most")
    seconds = "-" if needs.step_seconds is None else _duration(needs.step_seconds)
    table.add_row(f"time of a step, without {reading}", f"{seconds} ({needs.time_is})")
    if needs.step_seconds is not None:
        total = _duration(needs.step_seconds * recipe.schedule.steps)
        table.add_row("time of the run", f"{total} for {recipe.schedule.steps:,} steps, by the above")
    console.print(table)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.2f} s"
