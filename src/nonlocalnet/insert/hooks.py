"""The hooks that run a block around a module whose parent does not run its children in a row.

They are instances of classes of this module, which hold no tensors and find their block by name when called: so they
pickle and deep-copy with the model, and a wrapper put in the block's place (FSDP, for example) is run too.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class BlockHook:
    """Finds the block of a hooked module.

    Args:
        name: The block's name among its owner's children.
        owner: The module that the block is a child of; None for the hooked module itself.
    """

    def __init__(self, name: str, owner: nn.Module | None) -> None:
        self.name = name
        self.owner = owner
        # Kept so that it is pickled with the model: loading it in another process reserves the hook's number there,
        # which a later hook on the same module would otherwise be given, replacing this one.
        self.handle: RemovableHandle | None = None

    def run(self, module: nn.Module, features: Tensor) -> Tensor:
        """Returns the block's output."""
        return getattr(module if self.owner is None else self.owner, self.name)(features)


class AfterHook(BlockHook):
    """A forward hook: the block takes the module's output."""

    def __call__(self, module: nn.Module, args: tuple[object, ...], output: Tensor) -> Tensor:  # noqa: ARG002
        """Returns the output that replaces the module's."""
        return self.run(module, output)


class BeforeHook(BlockHook):
    """A forward pre-hook: the block takes the module's first argument."""

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Returns the arguments that replace the module's."""
        if not args:
            raise ValueError(
                f"the non-local block before {type(module).__name__} takes its first positional argument, but it was "
                "called with keyword arguments only: insert the block after the module that gives the features"
            )
        return (self.run(module, args[0]), *args[1:])


def attach(target: nn.Module, hook: AfterHook | BeforeHook) -> None:
    """Registers the hook on its module."""
    if isinstance(hook, AfterHook):
        hook.handle = target.register_forward_hook(hook)
    else:
        hook.handle = target.register_forward_pre_hook(hook)
