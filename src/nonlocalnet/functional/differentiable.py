"""Calling an `torch.autograd.Function` without its overhead where nobody needs what it is for."""

from typing import Any

import torch
from torch import Tensor


def apply(function: type[torch.autograd.Function], *inputs: Any) -> Any:
    """`function.apply(*inputs)`; its forward alone where no gradient is wanted.

    `Function.apply` inspects the signature at every call to fill in defaults, which took as long as three products of
    a small block; these functions have none.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return function.apply(*inputs)
    if wants_gradient(*inputs):
        return super(torch.autograd.Function, function).apply(*inputs)  # pyright: ignore[reportAttributeAccessIssue]
    return function.forward(*inputs)


def wants_gradient(*inputs: Any) -> bool:
    """Whether a result of these inputs, of which some may be no tensors, is recorded for a gradient."""
    return torch.is_grad_enabled() and any(isinstance(one, Tensor) and one.requires_grad for one in inputs)
