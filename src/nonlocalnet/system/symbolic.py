"""What `torch.fx` shows a module in place of a tensor: a proxy, of which nothing is known, not even its shape."""

from typing import Any

from torch import Tensor, fx, nn


def is_symbolic(x: object) -> bool:
    """Whether `torch.fx` is tracing: sizes and types cannot be asked for."""
    return isinstance(x, fx.Proxy)


def as_one_node(module: nn.Module, x: Any, **options: Any) -> Tensor:
    """The call of a module with a proxy, as one node of the graph, as torch.nn's own modules are.

    Whatever the module decides by sizes it decides when the graph runs.

    Args:
        module: Part of the module that is traced.
        x: What `is_symbolic` says yes to.
        options: Keyword arguments; those that are None are left out.
    """
    given = {name: value for name, value in options.items() if value is not None}
    return x.tracer.create_proxy("call_module", x.tracer.path_of_module(module), (x,), given)
