"""What a run would do and need, without starting it."""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console
from torch import nn

from nonlocalnet import formats
from nonlocalnet.engine.config import require_equal_shares
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.engine.machine import settled
from nonlocalnet.engine.needs import show_needs, step_needs
from nonlocalnet.engine.optim import freeze
from nonlocalnet.formats.inflate import How
from nonlocalnet.models import summarise
from nonlocalnet.runs.video.card import make_card
from nonlocalnet.runs.video.config import VideoRecipe
from nonlocalnet.runs.video.data import clip_geometry
from nonlocalnet.runs.video.network import adapt_network, build_model, parts_of
from nonlocalnet.runs.video.show import show_network


def check_start(recipe: VideoRecipe, *, init: str | Path, init_anyway: bool, init_inflation: How | None) -> None:
    """Start a network from a file as `train_recipe` would, and forget it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The network cannot start from it.
    """
    formats.start_network(
        build_model(recipe),
        init,
        preprocessing=make_card(recipe, class_names=None).preprocessing,
        inflation=init_inflation,
        fresh_classifier=recipe.fresh_classifier,
        anyway=init_anyway,
    )


def show_plan(console: Console, recipe: VideoRecipe) -> None:
    """Print what a run would do and need: nothing is read or written, and the network computes a step at most.

    Raises:
        ValueError: A setting is wrong, as in training.
    """
    require_equal_shares(recipe)
    device = choose_device(recipe.trainer.device)
    recipe = settled(recipe, device)
    crop = recipe.data.crop or recipe.model.crop
    shape = (3, clip_geometry(recipe).frames, crop, crop)
    with torch.device("meta"):
        model = build_model(recipe)
    summary = summarise(model, (1, *shape))
    for norm in freeze(model, recipe.optim, parts_of(model)):
        norm.eval()

    def tried() -> nn.Module:
        network = build_model(recipe)
        freeze(network, recipe.optim, parts_of(network))
        return adapt_network(network, recipe.trainer) if device.type == "cuda" else network

    needs = step_needs(
        recipe,
        device,
        counted=model,
        tried=tried,
        shape=shape,
        flops=summary.flops,
        item="clip",
        smaller="raise optim.accumulate, or set trainer.recompute",
    )
    show_network(console, model, summary)
    show_needs(console, recipe, needs, item="clip", reading="reading videos")
