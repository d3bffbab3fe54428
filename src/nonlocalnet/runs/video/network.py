"""The network of a run, and its form in training."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from nonlocalnet.block import NonLocalBlock
from nonlocalnet.engine.config import TrainerConfig
from nonlocalnet.engine.optim import Parts
from nonlocalnet.engine.recompute import recompute_blocks
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.architectures import ARCHITECTURES
from nonlocalnet.models.video.network import build
from nonlocalnet.runs.video.config import VideoRecipe


def model_arguments(recipe: VideoRecipe) -> dict[str, Any]:
    """Keyword arguments of the recipe's factory in `nonlocalnet.models`."""
    model = dataclasses.asdict(recipe.model)
    model["residual_blocks"] = model["nonlocal_blocks"]  # a control's blocks stand at the same places
    return {name: value for name, value in model.items() if name in ARCHITECTURES[recipe.model.architecture].defaults}


def build_model(recipe: VideoRecipe) -> VideoResNet:
    """Build the recipe's network; its initial weights are a function of `trainer.seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.trainer.seed)
        return build(recipe.model.architecture, model_arguments(recipe))


def parts_of(model: nn.Module) -> Parts:
    """The non-local blocks and the classifier, which may learn at rates of their own."""
    head = getattr(model, "head", None)
    return Parts(
        blocks=[module for module in model.modules() if isinstance(module, NonLocalBlock)],
        head=head if isinstance(head, nn.Module) else None,
    )


def adapt_network(model: nn.Module, trainer: TrainerConfig) -> nn.Module:
    """Put a network, in place, into the form that `trainer` asks for.

    Clips of one run have one size, so cuDNN may time its convolutions and keep the fastest; other devices ignore that.
    """
    torch.backends.cudnn.benchmark = True
    if trainer.channels_last is True:
        model = model.to(memory_format=torch.channels_last_3d)  # pyright: ignore[reportCallIssue]
    if trainer.recompute:
        recompute_blocks(model)
    if trainer.compile:
        model.compile(mode=trainer.compile_mode)
    return model
