"""What a run would do and need, without starting it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn
from typing_extensions import override

from nonlocalnet.engine.devices import choose_device
from nonlocalnet.engine.estimate import estimate_memory
from nonlocalnet.engine.machine import settled
from nonlocalnet.engine.needs import StepNeeds, measuring, show_needs
from nonlocalnet.models.sequence.network import SequenceNetwork
from nonlocalnet.runs.sequence.config import SequenceRecipe, require_fitting_front
from nonlocalnet.runs.sequence.data import load_data
from nonlocalnet.runs.sequence.network import arguments_for, assumed_arguments, build_model
from nonlocalnet.runs.sequence.show import items_of, show_network, steps_of
from nonlocalnet.runs.sequence.start import start_sequence_network


def check_start(recipe: SequenceRecipe, *, init: str | Path, init_anyway: bool) -> None:
    """Start a network from a file as `train_recipe` would, and forget it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The network cannot start from it, or the training data cannot be read: they say classes and words.
    """
    data = load_data(recipe, "train")
    network = build_model(recipe, arguments_for(recipe, data))
    start_sequence_network(network, init, vocabulary=data.known.vocabulary, anyway=init_anyway)


def show_plan(console: Console, recipe: SequenceRecipe) -> None:
    """Print a run's length, its network, and what a step needs; nothing is read or written.

    Raises:
        ValueError: A setting is wrong, as in training.
    """
    require_fitting_front(recipe)
    device = choose_device(recipe.trainer.device)
    recipe = settled(recipe, device)
    network = build_model(recipe, assumed_arguments(recipe))
    steps, trainer, optim = steps_of(recipe), recipe.trainer, recipe.optim
    micro_batch = optim.batch_size // (trainer.devices * trainer.num_nodes * optim.accumulate)
    shape = (micro_batch, steps, network.front.size)
    trained = _Trained(network)
    memory = estimate_memory(trained, shape)
    kept = 2 if optim.method == "adamw" else 1
    with measuring():
        seconds = _seconds(trained.to(device), torch.randn(shape, device=device))
    needs = StepNeeds(
        micro_batch=micro_batch,
        micro_batches=optim.accumulate,
        memory=replace(memory, momentum=kept * memory.momentum),
        measured_memory=None,
        step_seconds=seconds * optim.accumulate,
        time_is=f"measured: one micro-batch of random sequences of {steps} steps, as busy as this machine is now",
    )
    console.print(
        f"{recipe.name}: {recipe.schedule.steps} steps of {optim.batch_size} {items_of(recipe)}s, learning rate "
        f"{optim.lr:g}",
    )
    show_network(console, network, steps)
    show_needs(console, recipe, needs, item=items_of(recipe), reading=f"reading {items_of(recipe)}s")


class _Trained(nn.Module):
    """What a step computes behind the front, from (N, T, C) to (N, K)."""

    def __init__(self, network: SequenceNetwork) -> None:
        super().__init__()
        self.recurrence, self.head = network.recurrence, network.head

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrence(x)[0]).flatten(1) if self.head.task != "regress" else self._number(x)

    def _number(self, x: Tensor) -> Tensor:
        return self.head(self.recurrence(x)[0]).unsqueeze(1)


def _seconds(trained: nn.Module, x: Tensor) -> float:
    """Of the forward and backward pass of one micro-batch, the second time."""
    taken = 0.0
    for _ in range(2):
        start = time.perf_counter()
        trained(x).logsumexp(dim=1).mean().backward()
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        taken = time.perf_counter() - start
    return taken
