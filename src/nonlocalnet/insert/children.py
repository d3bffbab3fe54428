"""A new child beside another in a module that runs its children in order."""

from __future__ import annotations

from typing import Literal

from torch import nn

Side = Literal["after", "before"]


def add_child(parent: nn.Module, name: str, child: nn.Module, *, beside: str, side: Side = "after") -> None:
    """Registers a child right after (before) another; the other children keep their names and their order.

    Args:
        parent: Usually an ``nn.Sequential``.
        name: The new child's, which the parent does not have yet.
        child: The new child.
        beside: Name of the child that it goes next to.
        side: On which side of it.
    """
    names = list(parent._modules)
    parent.add_module(name, child)
    for later in names[names.index(beside) + (side == "after") :]:  # to behind the new child, in their order
        parent._modules[later] = parent._modules.pop(later)
