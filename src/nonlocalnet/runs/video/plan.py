"""What a run would do and need, without starting it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

from nonlocalnet.engine.config import require_equal_shares
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.engine.estimate import StepMemory, estimate_cpu_seconds, estimate_memory, measure_cuda_step
from nonlocalnet.engine.machine import settled
from nonlocalnet.engine.optim import freeze
from nonlocalnet.models import ModelSummary, VideoResNet, summarise
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.data import clip_geometry
from nonlocalnet.runs.video.network import adapt_network, build_model, parts_of
from nonlocalnet.runs.video.show import show_network


@dataclass(frozen=True)
class RunPlan:
    """A resolved run.

    Attributes:
        recipe: The run.
        model: Its network, on the meta device.
        summary: The network's layers and costs, for one training clip.
        micro_batch: Clips that one process computes at once.
        micro_batches: How often it does so in a step.
        memory: What one process holds, counted.
        measured_memory: Peak bytes of one process, where a GPU was tried; None elsewhere or where it did not fit.
        step_seconds: What one step takes, without reading videos; None where it did not fit.
        time_is: How `step_seconds` was found.
    """

    recipe: VideoRecipe
    model: VideoResNet
    summary: ModelSummary
    micro_batch: int
    micro_batches: int
    memory: StepMemory
    measured_memory: int | None
    step_seconds: float | None
    time_is: str


def show_plan(console: Console, recipe: VideoRecipe) -> None:
    """Print what a run would do and need.

    Raises:
        ValueError: A setting is wrong, as in training.
    """
    plan = plan_run(recipe)
    show_network(console, plan.model, plan.summary)
    _show_needs(console, plan)


def plan_run(recipe: VideoRecipe) -> RunPlan:
    """Resolve a run: nothing is read or written, and the network computes a step at most.

    Raises:
        ValueError: A setting is wrong, as in training.
    """
    require_equal_shares(recipe)
    device = choose_device(recipe.trainer.device)
    recipe = settled(recipe, device)
    micro_batches = recipe.optim.accumulate
    micro_batch = recipe.optim.batch_size // (recipe.trainer.devices * recipe.trainer.num_nodes * micro_batches)
    crop = recipe.data.crop or recipe.model.crop
    clip_shape = (1, 3, clip_geometry(recipe).frames, crop, crop)
    with torch.device("meta"):
        model = build_model(recipe)
    summary = summarise(model, clip_shape)
    for norm in freeze(model, recipe.optim, parts_of(model)):
        norm.eval()
    halves = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    memory = estimate_memory(
        model,
        (micro_batch, *clip_shape[1:]),
        recompute=recipe.trainer.recompute,
        dtype=halves.get(recipe.trainer.precision, torch.float32),
    )
    if device.type == "cuda":
        seconds, peak, how = _try_cuda(recipe, (micro_batch, *clip_shape[1:]), device)
    else:
        network = build_model(recipe)
        freeze(network, recipe.optim, parts_of(network))
        clip = estimate_cpu_seconds(network, clip_shape, flops=summary.flops)
        repeated = 4 / 3 if recipe.trainer.recompute else 1.0  # a second forward pass
        seconds, peak = clip * micro_batch * repeated, None
        how = "estimated: a smaller clip was measured on this CPU and scaled by multiply-adds"
    return RunPlan(
        recipe=recipe,
        model=model,
        summary=summary,
        micro_batch=micro_batch,
        micro_batches=micro_batches,
        memory=memory,
        measured_memory=peak,
        step_seconds=None if seconds is None else seconds * micro_batches,
        time_is=how,
    )


def _try_cuda(
    recipe: VideoRecipe, shape: tuple[int, ...], device: torch.device
) -> tuple[float | None, int | None, str]:
    network = build_model(recipe)
    freeze(network, recipe.optim, parts_of(network))
    bf16 = recipe.trainer.precision != "32-true"
    try:
        seconds, peak = measure_cuda_step(adapt_network(network, recipe.trainer), shape, device=device, bf16=bf16)
    except torch.OutOfMemoryError:
        return None, None, "it does not fit: raise optim.accumulate, or set trainer.recompute"
    return seconds, peak, "measured: one micro-batch of random clips on this GPU"


def _show_needs(console: Console, plan: RunPlan) -> None:
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


def _sizes(*sizes: int) -> tuple[str]:
    return (" + ".join(_gib(size) for size in sizes),)


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.2f} s"
