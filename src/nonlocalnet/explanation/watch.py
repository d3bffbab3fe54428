"""Running a model once and looking at its non-local blocks while it runs; the model is left as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nonlocalnet.block import NonLocalBlock
from nonlocalnet.explanation.cells import Cells, CellsByLayers
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.insert.measure import left_as_it_was


@dataclass(frozen=True)
class BlockCall:
    """A block while it is called.

    Attributes:
        name: Its dotted path in the model.
        block: The block.
        x: (1, C, *positions), its input; only good until the hook returns, since later layers may write into it.
        key_mask: As the block was given it.
        cells: What the positions stand for along each axis, in pixels of the model's input.
    """

    name: str
    block: NonLocalBlock
    x: Tensor
    key_mask: Tensor | None
    cells: tuple[Cells, ...]


def chosen_blocks(model: nn.Module, names: Iterable[str] | None) -> dict[str, NonLocalBlock]:
    """The blocks of these names, all for None, in the order of the model's modules.

    Raises:
        ValueError: Where one is not in the model, or it has none.
    """
    blocks = nonlocal_blocks(model)
    if not blocks:
        raise ValueError("the model has no non-local blocks: there is nothing to look at")
    for name in names or ():
        if name not in blocks:
            raise ValueError(f"block {name!r} is not in the model; its non-local blocks are {', '.join(blocks)}")
    return blocks if names is None else {name: block for name, block in blocks.items() if name in set(names)}


def watch(
    model: nn.Module, model_input: object, blocks: dict[str, NonLocalBlock], see: Callable[[BlockCall], None]
) -> tuple[Any, Tensor]:
    """Run the model in eval mode without gradients, and call `see` whenever one of the blocks is called.

    Training flags, buffers, random state and hooks are afterwards what they were, after an error too.

    Args:
        model: The model.
        model_input: What it is called with.
        blocks: Of the model, by dotted path.
        see: Called before the block runs.

    Returns:
        The model's output, and the input (1, C, *positions) of the part that looks at pixels: the model itself, or a
        detector's backbone, which gets resized and padded images.
    """
    part = _looking_part(model)
    seen: list[tuple[Tensor, CellsByLayers]] = []

    def begin(_module: nn.Module, args: tuple[Any, ...]) -> None:
        pixels = next((arg for arg in args if isinstance(arg, Tensor)), None)
        if pixels is not None and pixels.dim() >= 3 and not seen:
            seen.append((pixels.detach().clone(), CellsByLayers(tuple(pixels.shape[2:]))))

    def note(module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        if seen:
            seen[0][1].note(module, args, output)

    def call_of(name: str) -> Callable[..., None]:
        def hook(block: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            x: Tensor = args[0] if args else named["x"]
            if not seen:  # a model that is no function of one tensor of pixels
                seen.append((x.detach().clone(), CellsByLayers(tuple(x.shape[2:]))))
            assert isinstance(block, NonLocalBlock)
            followed = len(x.shape[2:]) == len(seen[0][0].shape[2:])
            cells = seen[0][1].of(tuple(x.shape[2:])) if followed else tuple(map(Cells.of_input, x.shape[2:]))
            see(BlockCall(name, block, x.detach(), named.get("key_mask"), cells))

        return hook

    with ExitStack() as stack:
        stack.enter_context(left_as_it_was(model))
        stack.callback(part.register_forward_pre_hook(begin).remove)
        for module in part.modules():
            stack.callback(module.register_forward_hook(note).remove)
        for name, block in blocks.items():
            # After the hooks that hand the block its mask.
            stack.callback(block.register_forward_pre_hook(call_of(name), with_kwargs=True).remove)
        with torch.no_grad():
            output = model(model_input)
    return output, seen[0][0]


def _looking_part(model: nn.Module) -> nn.Module:
    backbone, transform = getattr(model, "backbone", None), getattr(model, "transform", None)
    return backbone if isinstance(backbone, nn.Module) and isinstance(transform, nn.Module) else model
