"""What "auto" means on this machine: bfloat16 and channels-last memory on a GPU that is fast at them, else float32."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Literal, TypeVar

import torch

from nonlocalnet.engine.config import Recipe, TrainerConfig

log = logging.getLogger(__name__)

_Recipe = TypeVar("_Recipe", bound=Recipe)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device is a GPU with bfloat16 arithmetic of its own; older ones emulate it, slowly."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def settled(recipe: _Recipe, device: torch.device) -> _Recipe:
    """The recipe with its "auto" arithmetic decided, so that its files say what was computed and a resumed run agrees.

    The log says what was decided, and for a published recipe what would be faster.

    Args:
        recipe: The run.
        device: Where it trains.
    """
    asked, fast = recipe.trainer, has_fast_bf16(device)
    trainer = settled_trainer(asked, device)
    if fast and recipe.published and asked.precision == "32-true":
        log.info(
            "float32, as published; faster on this GPU, with other rounding: --trainer.precision bf16-mixed "
            "--trainer.channels_last true --trainer.compile true"
        )
    elif asked != trainer:
        log.info("arithmetic: %s%s", describe(trainer), "; --trainer.precision 32-true for float32" if fast else "")
    return replace(recipe, trainer=trainer)


def settled_trainer(trainer: TrainerConfig, device: torch.device) -> TrainerConfig:
    """The settings with every "auto" of the arithmetic decided for a device."""
    fast = has_fast_bf16(device)
    return replace(
        trainer,
        precision=precision_on(device, trainer),
        channels_last=fast if trainer.channels_last == "auto" else trainer.channels_last,
    )


def precision_on(device: torch.device, trainer: TrainerConfig) -> Literal["32-true", "bf16-mixed", "16-mixed"]:
    """The precision of a device for these settings, as Lightning names it."""
    if trainer.precision == "auto":
        return "bf16-mixed" if has_fast_bf16(device) else "32-true"
    return trainer.precision


def describe(trainer: TrainerConfig) -> str:
    """Settled arithmetic in words."""
    names = {"32-true": "float32", "bf16-mixed": "bfloat16", "16-mixed": "float16"}
    weights = "" if trainer.precision == "32-true" else " with float32 weights"
    return f"{names[trainer.precision]}{weights}{', channels-last' if trainer.channels_last else ''}"
