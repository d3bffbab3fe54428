"""What `nonlocalnet inspect` says of a network of sequences: its parts, their parameters and what a sequence costs."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from typing import cast

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nonlocalnet.formats import OpenedFile, plan_sequence
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models.sequence.network import SequenceNetwork, build
from nonlocalnet.runs.sequence.config import SequenceModelConfig, SequenceRecipe
from nonlocalnet.runs.sequence.network import assumed_arguments
from nonlocalnet.runs.sequence.sources import SOURCES
from nonlocalnet.system.meta import meta_copy
from nonlocalnet.system.numeric import sizes_of

STEPS = 400
"""Steps of a sequence where nothing says how many there are."""
_GATES = {nn.GRU: 3, nn.LSTM: 4}


def show_recipe(console: Console, recipe: SequenceRecipe, *, model: SequenceModelConfig, size: str | None) -> None:
    """Print the parts of a recipe's network.

    Args:
        console: Where to.
        recipe: The recipe; no data are read, so classes and words that only they say are assumed.
        model: Its network, perhaps with other fields.
        size: Steps of a sequence, such as 1000; None for the recipe's, or 400.
    """
    recipe = dataclasses.replace(recipe, model=model)
    with torch.device("meta"):
        network = build(recipe.model.architecture, assumed_arguments(recipe))
    show_network(console, network, steps_of(recipe) if size is None else _parse(size))


def show_file(console: Console, opened: OpenedFile, parsed: Namespace) -> None:
    """Print what a file holds, and the parts of its network.

    Args:
        console: Where to.
        opened: A file of a network of sequences.
        parsed: `input`, the steps as in `show_recipe`, and `list_keys`: whether to list the name of every tensor.

    Raises:
        ValueError: Its card is not whole, or the network does not fit it.
    """
    card = plan_sequence(opened).card
    table = Table(title=opened.path, title_justify="left", show_header=False)
    table.add_row("architecture", card.architecture)
    table.add_row("task", str(card.arguments.get("task", "classify")))
    if card.recipe is not None:
        table.add_row("recipe", str(card.recipe.get("name")))
    for heading, names in (("classes", card.class_names), ("vocabulary", card.vocabulary)):
        if names is not None:
            table.add_row(heading, f"{len(names)}: {', '.join(names[:8])}{', ...' if names[8:] else ''}")
    if "sample_rate" in card.arguments:
        table.add_row("sample rate", f"{card.arguments['sample_rate']} Hz")
    console.print(table)
    if parsed.list_keys:
        for name in opened.tensors:
            console.print(name)
    with torch.device("meta"):
        network = build(card.architecture, card.arguments)
    show_network(console, network, STEPS if parsed.input is None else _parse(parsed.input))


def show_network(console: Console, network: SequenceNetwork, steps: int) -> None:
    """Print parameters and multiply-adds of each part, for one sequence of so many steps after the front."""
    table = Table(title=f"one sequence of {steps} steps", title_justify="left")
    for heading in ("part", "parameters", "multiply-adds"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    network = meta_copy(network)
    blocks = nonlocal_blocks(network.recurrence)
    rows: list[tuple[str, nn.Module, int | None]] = [(f"front: {type(network.front).__name__}", network.front, None)]
    for index, layer in enumerate(network.recurrence.layers):
        recurrence = cast(nn.RNNBase, layer)
        rows.append((f"recurrence.layers.{index}: {type(layer).__name__}", recurrence, _recurrent(recurrence, steps)))
        name = f"blocks.{index}"
        if name in blocks:
            block = blocks[name]
            x = torch.empty(1, block.channels, steps, device="meta")
            rows.append((f"recurrence.{name}: {block.pairwise}", block, _counted(block, x)))
    states = 1 if network.task != "tag" else steps
    head = network.head.projection
    rows.append((f"head: {network.task}", network.head, states * head.in_features * head.out_features))
    for name, part, cost in rows:
        table.add_row(name, f"{_parameters(part):,}", "" if cost is None else f"{cost:,}")
    total = sum(cost or 0 for _, _, cost in rows)
    table.add_row("in all", f"{_parameters(network):,}", f"{total:,}", style="bold")
    console.print(table)


def steps_of(recipe: SequenceRecipe) -> int:
    """Steps of a sequence of a recipe: of what is made; 400 of what is read."""
    data = recipe.data
    if data.source == "copy":
        return data.length + 20
    if data.source == "recall":
        return 3 * data.length
    if data.source in ("adding", "mentions"):
        return data.length
    return STEPS


def items_of(recipe: SequenceRecipe) -> str:
    """What the sequences of a recipe are called, in the singular."""
    return SOURCES[recipe.data.source].items.removesuffix("s")


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _recurrent(layer: nn.RNNBase, steps: int) -> int:
    """Of the products of every gate with the input and the state; PyTorch's counter does not know recurrences."""
    directions = 2 if layer.bidirectional else 1
    return steps * directions * _GATES[type(layer)] * layer.hidden_size * (layer.input_size + layer.hidden_size)  # pyright: ignore[reportArgumentType]


def _counted(block: nn.Module, x: torch.Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        block(x)
    return counter.get_total_flops() // 2


def _parse(text: str) -> int:
    sizes = sizes_of(text, 1)
    if sizes is None:
        raise ValueError(f"--input must be the steps of a sequence, such as 400, got {text!r}")
    return sizes[0]
