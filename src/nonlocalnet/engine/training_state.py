"""That a checkpoint holds the whole state of a training, before a run goes on from it.

Lightning takes over what it finds: without the optimiser's state a run would go on without its momentum, and say
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nonlocalnet.engine.steps import StepTask

# What is read of a checkpoint, and its type.
_ENTRIES: dict[str, type] = {
    "state_dict": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "callbacks": dict,
    "global_step": int,
    "pytorch-lightning_version": str,
}


def require_training_state(path: Path, task: StepTask) -> None:
    """Refuse a checkpoint from which this training cannot go on as if it had not been ended.

    Raises:
        ValueError: Naming the file, and what is missing or is not of this network and optimiser.
    """
    checkpoint: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    problem = _problem_of_entries(checkpoint) or _problem_of_network(checkpoint["state_dict"], task)
    problem = problem or _problem_of_optimiser(checkpoint, task.configure_optimizers())
    if problem is not None:
        raise ValueError(
            f"{path} is no state that the training can go on from: {problem}; take a whole copy of it, or start "
            f"another run from its weights: --init {path}, with another folder"
        )


def _problem_of_entries(checkpoint: Mapping[str, Any]) -> str | None:
    for name, kind in _ENTRIES.items():
        if name not in checkpoint:
            return f"it has no {name}"
        if not isinstance(checkpoint[name], kind):
            return f"its {name} is a {type(checkpoint[name]).__name__}"
    if "loops" in checkpoint:
        return "it has loops, which no checkpoint of ours has"
    kept = [name for name, state in checkpoint["callbacks"].items() if not isinstance(state, dict)]
    return f"its callbacks hold {kept[0]} as no dictionary" if kept else None


def _problem_of_network(found: Mapping[str, Any], task: StepTask) -> str | None:
    wanted = task.state_dict()
    for name, tensor in wanted.items():
        if not isinstance(found.get(name), Tensor):
            return f"it has no tensor {name}"
        if found[name].shape != tensor.shape:
            return f"{name} is {tuple(found[name].shape)}, and in this network {tuple(tensor.shape)}"
    more = next((name for name in found if name not in wanted), None)
    return None if more is None else f"it has {more}, which this network has not"


def _problem_of_optimiser(checkpoint: Mapping[str, Any], optimiser: torch.optim.Optimizer) -> str | None:
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
    if numbers and all(isinstance(number, str) for number in numbers):
        return None  # of FSDP, which names tensors: that is compared by FSDP itself
    if found != sizes:
        return f"the optimiser has groups of {found} tensors, and of {sizes} in this training"
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    keeps = any(group.get("momentum", 1) for group in optimiser.param_groups)  # plain SGD keeps nothing
    if checkpoint["global_step"] > 0 and keeps and not state["state"]:
        return "the optimiser's state is empty"
    for number, parameter in zip(numbers, parameters, strict=True):
        kept = state["state"].get(number, {})
        if not isinstance(kept, dict):
            return f"the optimiser's state of tensor {number} is a {type(kept).__name__}"
        for name, tensor in kept.items():
            if isinstance(tensor, Tensor) and tensor.dim() > 0 and tensor.shape != parameter.shape:
                return f"{name} of tensor {number} is {tuple(tensor.shape)} beside {tuple(parameter.shape)}"
    return None
