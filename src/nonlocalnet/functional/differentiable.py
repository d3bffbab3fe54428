"""What the `torch.autograd.Function`s share: cheap calls, and derivatives that can be differentiated again."""

from collections.abc import Callable, Sequence
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


def gradients(
    function: Callable[..., Tensor], operands: Sequence[Tensor | None], grad_y: Tensor, *, create_graph: bool
) -> list[Tensor | None]:
    """The derivative of function(*operands) by each operand that asks for one, as if they were independent.

    They may not be: one may be computed from another (a threshold from its scores), or two be the same tensor. Asked
    by itself `torch.autograd.grad` would add the way through the others, which the caller's own graph adds again.
    """
    aliases = [None if one is None else one.view_as(one) for one in operands]
    asking = [one for one in aliases if one is not None and one.requires_grad]
    found = iter(torch.autograd.grad(function(*aliases), asking, grad_y, create_graph=create_graph))
    return [next(found) if one is not None and one.requires_grad else None for one in aliases]
