"""What a run would do and need, without starting it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nonlocalnet.engine.adapt import adapt_network
from nonlocalnet.engine.config import Recipe, require_equal_shares
from nonlocalnet.engine.estimate import StepMemory, estimate_cpu_seconds, estimate_memory, measure_cuda_step
from nonlocalnet.engine.optim import freeze
from nonlocalnet.engine.train import choose_device
from nonlocalnet.models import ModelSummary, VideoResNet, summarise
from nonlocalnet.runs.video.train import build_model, clip_geometry


@dataclass(frozen=True)
class Plan:
    """A resolved run.

    Attributes:
        recipe: The run.
        model: Its network, on the meta device.
        summary: Of the network, for one training clip.
        micro_batch: Clips that one process computes at once.
        micro_batches: How often it does so in a step.
        memory: Of one process, counted.
        measured_memory: Peak bytes of one process, where a GPU was tried; None elsewhere or where it did not fit.
        step_seconds: Of one step, without reading videos; None where it did not fit.
        time_is: How `step_seconds` was found.
    """

    recipe: Recipe
    model: VideoResNet
    summary: ModelSummary
    micro_batch: int
    micro_batches: int
    memory: StepMemory
    measured_memory: int | None
    step_seconds: float | None
    time_is: str


def plan_run(recipe: Recipe) -> Plan:
    """Resolve a run: nothing is read or written, and the network computes a step at most.

    Raises:
        ValueError: A setting is wrong, as in training.
    """
    require_equal_shares(recipe)
    device = choose_device(recipe.trainer.device)
    micro_batches = recipe.optim.accumulate
    micro_batch = recipe.optim.batch_size // (recipe.trainer.devices * recipe.trainer.num_nodes * micro_batches)
    crop = recipe.data.crop or recipe.model.crop
    clip_shape = (1, 3, clip_geometry(recipe).frames, crop, crop)
    with torch.device("meta"):
        model = build_model(recipe)
    summary = summarise(model, clip_shape)
    for norm in freeze(model, recipe.optim):
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
        freeze(network, recipe.optim)
        clip = estimate_cpu_seconds(network, clip_shape, flops=summary.flops)
        repeated = 4 / 3 if recipe.trainer.recompute else 1.0  # a second forward pass
        seconds, peak = clip * micro_batch * repeated, None
        how = "estimated: a smaller clip was measured on this CPU and scaled by multiply-adds"
    return Plan(
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


def _try_cuda(recipe: Recipe, shape: tuple[int, ...], device: torch.device) -> tuple[float | None, int | None, str]:
    network = build_model(recipe)
    freeze(network, recipe.optim)
    bf16 = recipe.trainer.precision != "32-true"
    try:
        seconds, peak = measure_cuda_step(adapt_network(network, recipe.trainer), shape, device=device, bf16=bf16)
    except torch.OutOfMemoryError:
        return None, None, "it does not fit: raise optim.accumulate, or set trainer.recompute"
    return seconds, peak, "measured: one micro-batch of random clips on this GPU"
