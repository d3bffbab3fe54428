"""Kernels for GPUs, written in Triton; each has an operator or a function in the room above that calls it.

Triton comes with PyTorch on Linux. Where it is missing, or a GPU is older than it supports, the forms in plain PyTorch
run instead (`nonlocalnet.functional.algorithms`). ``TRITON_INTERPRET=1``, set before the first import, runs the kernels
on a CPU, for tests of their arithmetic.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch

_Function = TypeVar("_Function", bound=Callable[..., Any])

HAS_TRITON = importlib.util.find_spec("triton") is not None
# Triton's matrix products on bfloat16 need this generation; float16 alone would do with (7, 0).
LEAST_CAPABILITY = (8, 0)
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def _constant_when_compiled(function: _Function) -> _Function:
    """As torch.compiler.assume_constant_result, which would import the compiler, for a second and more, to say it."""
    vars(function)["_dynamo_marked_constant"] = True
    return function


_capabilities: dict[int | None, tuple[int, int]] = {}


@_constant_when_compiled
def capability(device_type: str, index: int | None) -> tuple[int, int]:
    """The generation of a CUDA device, such as (9, 0); (0, 0) for any other device."""
    if device_type != "cuda":
        return 0, 0
    if index not in _capabilities:
        _capabilities[index] = torch.cuda.get_device_capability(index)
    return _capabilities[index]


@_constant_when_compiled
def run_on(device_type: str, index: int | None) -> bool:
    """Whether the kernels run on a device."""
    if device_type == "cpu":
        return HAS_TRITON and INTERPRETED
    return HAS_TRITON and capability(device_type, index) >= LEAST_CAPABILITY
