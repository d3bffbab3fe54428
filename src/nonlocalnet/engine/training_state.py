"""That a checkpoint holds the whole state of a training, before a run goes on from it.

Lightning takes over what it finds: without the optimiser's state a run would go on without its momentum, and say
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import torch
from torch import Tensor

from nonlocalnet.engine.checkpoint import Checkpoints
from nonlocalnet.engine.steps import StepTask
from nonlocalnet.system.tensor_file import type_flaw

# What is read of a checkpoint, and its type.
_ENTRIES: dict[str, type] = {
    "state_dict": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "callbacks": dict,
    "global_step": int,
    "pytorch-lightning_version": str,
}


def require_training_state(path: Path, task: StepTask, *, sharded: bool) -> None:
    """Refuse a checkpoint from which this training cannot go on as if it had not been ended.

    `sharded`: the training's strategy is FSDP, whose state of the optimiser has a form of its own.

    Raises:
        ValueError: Naming the file, and what is missing or is not of this network and optimiser.
    """
    checkpoint: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    problem = _problem_of_entries(checkpoint) or _problem_of_network(checkpoint["state_dict"], task)
    problem = problem or _problem_of_optimiser(checkpoint, task.configure_optimizers(), sharded=sharded)
    if problem is not None:
        raise ValueError(
            f"{path} is no state that the training can go on from: {problem}; take a whole copy of it, or start "
            f"another run from its weights: --init {path}, with another folder"
        )


def _problem_of_entries(checkpoint: Mapping[str, Any]) -> str | None:
    for name, kind in _ENTRIES.items():
        if name not in checkpoint:
            return f"it has no {name}"
        if not isinstance(checkpoint[name], kind) or isinstance(checkpoint[name], bool):
            return f"its {name} is a {type(checkpoint[name]).__name__}"
    if "loops" in checkpoint:
        return "it has loops, which no checkpoint of ours has"
    version = re.match(r"\d+", checkpoint["pytorch-lightning_version"])
    if version is None or int(version[0]) < 2:
        return f"its pytorch-lightning_version is {checkpoint['pytorch-lightning_version']!r}"
    kept = [name for name, state in checkpoint["callbacks"].items() if not isinstance(state, dict)]
    if kept:
        return f"its callbacks hold {kept[0]} as no dictionary"
    best = checkpoint["callbacks"].get(Checkpoints.__name__, {})
    known = all(name in best and isinstance(best[name], (int, float, NoneType)) for name in Checkpoints.STATE)
    return None if known else "it does not say how good the best checkpoint is"


def _problem_of_network(found: Mapping[str, Any], task: StepTask) -> str | None:
    wanted = task.state_dict()
    for name, tensor in wanted.items():
        if not isinstance(found.get(name), Tensor):
            return f"it has no tensor {name}"
        if (flaw := type_flaw(found[name], tensor)) is not None:
            return f"{name} {flaw}"
        if found[name].shape != tensor.shape:
            return f"{name} is {tuple(found[name].shape)}, and in this network {tuple(tensor.shape)}"
    more = next((name for name in found if name not in wanted), None)
    return None if more is None else f"it has {more}, which this network has not"


def _problem_of_optimiser(
    checkpoint: Mapping[str, Any], optimiser: torch.optim.Optimizer, *, sharded: bool
) -> str | None:
    """Compared with the optimiser as it is before the first step, which has groups and no state."""
    states = checkpoint["optimizer_states"]
    if len(states) != 1:
        return f"it has {len(states)} states of an optimiser in the place of one"
    state = states[0]
    if not isinstance(state, dict) or not isinstance(state.get("state"), dict):
        return "the optimiser's state is none"
    groups: Any = state.get("param_groups")
    sizes = [len(group["params"]) for group in optimiser.param_groups]
    try:
        found = [len(group["params"]) for group in groups]
        numbers = [number for group in groups for number in group["params"]]
    except (KeyError, TypeError):
        return "the optimiser's groups are none"
    if sharded:
        return None  # by names, which FSDP compares itself
    if found != sizes:
        return f"the optimiser has groups of {found} tensors, and of {sizes} in this training"
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    if numbers != list(range(len(numbers))):
        return "the optimiser's groups do not number its tensors"
    keeps = any(group.get("momentum", 1) for group in optimiser.param_groups)  # plain SGD keeps nothing
    if checkpoint["global_step"] > 0 and keeps and not state["state"]:
        return "the optimiser's state is empty"
    return _problem_of_tensors(state["state"], parameters)


def _problem_of_tensors(states: Mapping[Any, Any], parameters: Sequence[Tensor]) -> str | None:
    """What is kept of each tensor: the same entries of all, each a number or of the tensor's own shape.

    A tensor that never had a gradient has none.
    """
    names: set[str] | None = None
    for number, kept in states.items():
        if not isinstance(number, int) or not 0 <= number < len(parameters):
            return f"the optimiser's state is of a tensor {number}, of which there is none"
        if not isinstance(kept, dict):
            return f"the optimiser's state of tensor {number} is a {type(kept).__name__}"
        names = set(kept) if names is None else names
        if not kept or set(kept) != names:
            return f"the optimiser's state of tensor {number} holds {sorted(kept)}, and of others {sorted(names)}"
        for name, tensor in kept.items():
            if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
                return f"{name} of tensor {number} is no tensor of real numbers"
            if name != "step" and tensor.shape != parameters[number].shape:
                return f"{name} of tensor {number} is {tuple(tensor.shape)} beside {tuple(parameters[number].shape)}"
    return None
