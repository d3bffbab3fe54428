"""`insert_nonlocal`: non-local blocks inside a network that already exists, its output unchanged."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TypeVar

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from typing_extensions import Unpack

from nonlocalnet.block import BlockArguments, BlockOptions, NonLocalBlock
from nonlocalnet.block.options import checked_block
from nonlocalnet.insert.infer import Known, convolution_ndim, known_features
from nonlocalnet.insert.measure import measure_features
from nonlocalnet.insert.places import Place, find_places
from nonlocalnet.system.signatures import shows

log = logging.getLogger(__name__)

_Model = TypeVar("_Model", bound=nn.Module)


@shows(BlockArguments, vars(BlockOptions()))
def insert_nonlocal(
    model: _Model,
    *,
    after: Sequence[str] | None = None,
    before: Sequence[str] | None = None,
    channels: int | None = None,
    example_input: object = None,
    ndim: int | None = None,
    block: BlockOptions | None = None,
    **options: Unpack[BlockArguments],
) -> _Model:
    """Inserts non-local blocks into a network, in place; its output stays the same until the blocks are trained.

    Next to a child of an ``nn.Sequential`` the block is a named sibling, ``layer3.4_nonlocal`` (``_before``); on an
    ``nn.Sequential`` itself it follows the last (precedes the first) child. Anywhere else a hook runs it, and it is
    the target's child ``nonlocal_after`` (``nonlocal_before``). Existing state-dict keys keep their names and order:
    a checkpoint of the network without blocks still loads, lacking the blocks' keys only. A module that is called
    several times runs its block each time. Every block takes its target's device, dtype and train or eval mode.
    An ``nn.Sequential`` is taken to run its children in order: where a model also indexes into it by number, a new
    sibling shifts the numbers. Insert before making the optimiser and before wrapping in DistributedDataParallel.

    Args:
        model: The network.
        after: Dotted paths of the modules whose output a block takes.
        before: Dotted paths of the modules whose (first positional) input a block takes.
        channels: C of the features at every place, where the layers do not say it.
        example_input: What ``model`` can be called with (a tuple gives several arguments). The model is run on it
            once, in eval mode, to see the features at every place; nothing in it changes.
        ndim: 1, 2 or 3; None takes it from the layers.
        block: The options of every block, all in one; None for the defaults.
        **options: Those of `BlockOptions`, by name; they replace the ones in ``block``.

    Returns:
        The same model.

    Raises:
        ValueError: A path names no module (the message has the nearest names) or one that cannot have a block, a
            place is used twice, features are channels-last or tokens, what they are is not certain (give ``channels``
            or ``example_input``), or an option is out of range. The model is then as it was: all blocks go in or none.

    Example:
        >>> import torchvision
        >>> model = insert_nonlocal(torchvision.models.resnet18(), after=["layer3.1"], before=["layer2.1"])
        >>> {path: block.channels for path, block in nonlocal_blocks(model).items()}
        {'layer2.1_nonlocal_before': 128, 'layer3.1_nonlocal': 256}
    """
    chosen = (checked_block(block, BlockOptions) or BlockOptions()).changed(**options)
    placed = put_blocks(
        model, after=after, before=before, channels=channels, example_input=example_input, ndim=ndim, block=chosen
    )
    say_inserted(placed)
    return model


def put_blocks(
    model: nn.Module,
    *,
    after: Sequence[str] | None = None,
    before: Sequence[str] | None = None,
    channels: int | None = None,
    example_input: object = None,
    ndim: int | None = None,
    block: BlockOptions,
) -> dict[str, NonLocalBlock]:
    """As `insert_nonlocal`, without a word: for networks that are built with their blocks. Gives the blocks by path."""
    if isinstance(model, DistributedDataParallel):
        raise ValueError("insert_nonlocal takes the network before it is wrapped in DistributedDataParallel")
    places = find_places(model, after=after, before=before)
    blocks = [
        NonLocalBlock(place_channels, ndim=place_ndim, block=block)
        for place_channels, place_ndim in _features(model, places, channels, example_input, ndim)
    ]
    for place, fresh in zip(places, blocks, strict=True):
        device, dtype = _device_and_dtype(place)
        place.put(fresh.to(device=device, dtype=dtype).train(place.target.training))
    return {place.block_path: fresh for place, fresh in zip(places, blocks, strict=True)}


def say_inserted(blocks: Mapping[str, NonLocalBlock]) -> None:
    """Tell the log which blocks a network of the caller's has got."""
    described = ", ".join(f"{path} ({block.channels} channels)" for path, block in blocks.items())
    log.info("inserted %d non-local block%s: %s", len(blocks), "" if len(blocks) == 1 else "s", described)


def nonlocal_blocks(model: nn.Module) -> dict[str, NonLocalBlock]:
    """The model's non-local blocks by dotted path, in the order of its modules."""
    return {path: module for path, module in model.named_modules() if isinstance(module, NonLocalBlock)}


def _features(
    model: nn.Module, places: list[Place], channels: int | None, example_input: object, ndim: int | None
) -> list[tuple[int, int]]:
    """(channels, ndim) at every place, by the layers, what the caller says, and the example; they must agree."""
    known = [known_features(place) for place in places]
    if example_input is not None:
        measured = measure_features(model, places, example_input, ndim=ndim)
        known = [Known(*features) for features in measured]
    return [_settle(place, features, channels, ndim) for place, features in zip(places, known, strict=True)]


def _settle(place: Place, known: Known, channels: int | None, ndim: int | None) -> tuple[int, int]:
    for name, said, seen in (("channels", channels, known.channels), ("ndim", ndim, known.ndim)):
        if said is not None and seen is not None and said != seen:
            raise ValueError(f"{place}: {name}={said!r} was given, but the features there have {name}={seen}")
    channels = known.channels if channels is None else channels
    if channels is None:
        raise ValueError(
            f"{place}: how many channels its features have is not certain from its layers; pass channels=..., or "
            "example_input=..., an input that the model can be run on (for example torch.zeros(1, 3, 224, 224))"
        )
    # Where the layer fits several (pooling, GroupNorm) the convolutions decide: those inside it, or all of the model.
    ndim = ndim or known.ndim or convolution_ndim(place.target) or convolution_ndim(place.lineage[0])
    if ndim is None:
        raise ValueError(
            f"{place}: whether its features are 1-D, 2-D or 3-D is not certain from its layers; pass ndim=..., or "
            "example_input=..., an input that the model can be run on"
        )
    return channels, ndim


def _device_and_dtype(place: Place) -> tuple[torch.device | None, torch.dtype | None]:
    """Of the target's first floating-point tensor, or of the nearest module above that has one."""
    for module in (place.target, *reversed(place.lineage)):
        for tensor in chain(module.parameters(), module.buffers()):
            if tensor.is_floating_point():
                return tensor.device, tensor.dtype
    return None, None
