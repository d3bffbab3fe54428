"""What the optimiser moves and how fast: parameter groups, frozen parts, the learning rate of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nonlocalnet.engine.config import OptimConfig, ScheduleConfig


@dataclass(frozen=True)
class Parts:
    """The parts of a network that may learn at another rate than the rest, or alone; the run says which they are.

    Attributes:
        blocks: The non-local blocks, or what stands in their place.
        head: The classifier; None where the network has none of its own.
    """

    blocks: Sequence[nn.Module] = ()
    head: nn.Module | None = None


def learning_rate_factor(step: int, schedule: ScheduleConfig) -> float:
    """Factor on the learning rate of a step.

    Args:
        step: Optimiser steps already made; 0 is the first step.
        schedule: Milestones and warm-up. The rate falls by gamma at `step == milestone`: after that many steps.

    Returns:
        The factor. During the warm-up it rises linearly from `warmup_factor` at step 0 to 1 at `warmup_steps`.

    >>> from nonlocalnet.engine.config import ScheduleConfig
    >>> schedule = ScheduleConfig(steps=10, milestones=(6, 8), gamma=0.5, warmup_steps=4, warmup_factor=0.5)
    >>> [learning_rate_factor(step, schedule) for step in (0, 2, 4, 5, 6, 8)]
    [0.5, 0.75, 1.0, 1.0, 0.5, 0.25]
    """
    factor = schedule.gamma ** sum(step >= milestone for milestone in schedule.milestones)
    if step < schedule.warmup_steps:
        factor *= schedule.warmup_factor + (1 - schedule.warmup_factor) * step / schedule.warmup_steps
    return factor


def freeze(model: nn.Module, optim: OptimConfig, parts: Parts) -> list[nn.Module]:
    """Turn off the gradients of what `optim` leaves out.

    Args:
        model: The network.
        optim: `trainable` and `freeze_bn`.
        parts: What `trainable` names.

    Returns:
        The BatchNorm layers that must stay in eval mode, so that their statistics do not move either.

    Raises:
        ValueError: If `optim.trainable` asks for a part the model does not have.
    """
    if optim.trainable != "all":
        model.requires_grad_(requires_grad=False)
        for part in _trainable_parts(model, parts, optim.trainable):
            part.requires_grad_(requires_grad=True)
    frozen = []
    for module in model.modules():
        if not isinstance(module, _BatchNorm):
            continue
        if optim.freeze_bn:
            module.requires_grad_(requires_grad=False)
        if optim.freeze_bn or (module.affine and not module.weight.requires_grad):
            frozen.append(module)
    return frozen


def parameter_groups(model: nn.Module, optim: OptimConfig, parts: Parts) -> list[dict[str, Any]]:
    """Divide the trainable parameters by learning rate and weight decay.

    Args:
        model: The network, after `freeze`.
        optim: Learning rate, factors and weight decays.
        parts: What the factors are for.

    Returns:
        Groups for `torch.optim`, each with a `name` such as "blocks/bn"; a parameter used twice stands in one group.

    Raises:
        ValueError: If nothing is left to train.
    """
    blocks = {id(p) for block in parts.blocks for p in block.parameters()}
    head = set() if parts.head is None else {id(p) for p in parts.head.parameters()}
    norms = {id(p) for m in model.modules() if isinstance(m, _BatchNorm) for p in m.parameters(recurse=False)}
    factors = {"trunk": 1.0, "blocks": optim.lr_factor_blocks, "head": optim.lr_factor_head}
    groups: dict[str, dict[str, Any]] = {}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        part = "blocks" if id(parameter) in blocks else "head" if id(parameter) in head else "trunk"
        is_norm = id(parameter) in norms
        name = f"{part}/bn" if is_norm else part
        decay = optim.bn_weight_decay if is_norm else optim.weight_decay
        group = {"params": [], "name": name, "lr": optim.lr * factors[part], "weight_decay": decay}
        groups.setdefault(name, group)["params"].append(parameter)
    if not groups:
        raise ValueError(f"optim.trainable = {optim.trainable!r} leaves no parameter to train")
    return list(groups.values())


def build_optimizer(model: nn.Module, optim: OptimConfig, parts: Parts) -> torch.optim.SGD | torch.optim.AdamW:
    """The optimiser over `parameter_groups`; on a GPU in one launch, where nothing is clipped.

    Lightning does not clip the gradients of a fused optimiser in float16.
    """
    groups = parameter_groups(model, optim, parts)
    on_gpu = all(parameter.is_cuda for group in groups for parameter in group["params"])
    fused = True if on_gpu and optim.grad_clip is None else None  # None leaves the choice to PyTorch
    if optim.method == "adamw":
        return torch.optim.AdamW(groups, lr=optim.lr, betas=(optim.momentum, 0.999), fused=fused)
    return torch.optim.SGD(groups, lr=optim.lr, momentum=optim.momentum, nesterov=optim.nesterov, fused=fused)


def _trainable_parts(model: nn.Module, parts: Parts, trainable: str) -> list[nn.Module]:
    if parts.head is None:
        raise ValueError(
            f"optim.trainable = {trainable!r} needs a model with a child `head`, got {type(model).__name__}"
        )
    if trainable == "head":
        return [parts.head]
    if not parts.blocks:
        raise ValueError(
            "optim.trainable = 'blocks_and_head' needs non-local blocks, and the model has none; use 'head'"
        )
    return [parts.head, *parts.blocks]
