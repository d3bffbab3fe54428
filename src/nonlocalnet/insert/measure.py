"""What an example says: the model is run once and the features at every place are looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from nonlocalnet.insert.infer import convolution_ndim, is_channels_last_layer
from nonlocalnet.insert.places import Place
from nonlocalnet.insert.torchvision_layers import is_permute


def measure_features(
    model: nn.Module, places: Sequence[Place], example_input: object, *, ndim: int | None
) -> list[tuple[int, int]]:
    """Runs the model on an example and returns (channels, ndim) of the features at every place.

    The model runs in eval mode, without gradients. Its training flags, buffers, hooks and the random state are
    afterwards what they were.

    Args:
        model: The model.
        places: Where to look.
        example_input: What the model is called with; a tuple gives several arguments.
        ndim: What the caller says of the features; None to hold them against the model's convolutions.

    Raises:
        ValueError: A place is not reached, or has no single feature map (B, C, *positions).
    """
    looks = [_Look(place) for place in places]
    with ExitStack() as stack:
        stack.enter_context(left_as_it_was(model))
        for look in looks:
            for handle in look.hooks():
                stack.callback(handle.remove)
        with torch.no_grad():
            model(*example_input) if isinstance(example_input, tuple) else model(example_input)
    return [look.result(model, ndim=ndim) for look in looks]


class _Look:
    """Watches one place while the model runs."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.seen: list[object] = []
        self.channels_last_shapes: set[torch.Size] = set()

    def hooks(self) -> Iterator[RemovableHandle]:
        """Registers the hooks, one by one."""
        target = self.place.target
        if self.place.side == "after":
            yield target.register_forward_hook(lambda *call: self.seen.append(call[2]))
        else:
            yield target.register_forward_pre_hook(lambda *call: self.seen.append(next(iter(call[1]), None)))
        for module in target.modules():
            if is_channels_last_layer(module):
                yield module.register_forward_hook(self._note_channels_last)

    def _note_channels_last(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        # ConvNeXt's blocks go to channels-last and back: only one side of each of these is channels-last.
        to_channels_last = is_permute(module) and module.dims[-1] == 1
        back = is_permute(module) and not to_channels_last
        for tensor in (*(() if back else (output,)), *(() if to_channels_last else args)):
            if isinstance(tensor, Tensor):
                self.channels_last_shapes.add(tensor.shape)

    def result(self, model: nn.Module, *, ndim: int | None) -> tuple[int, int]:
        """(channels, ndim) of what was seen."""
        place = self.place
        if not self.seen:
            raise ValueError(
                f"{place} is not called when the model (in eval mode) runs on example_input: a block there would never "
                "run; name another module, or give channels= if it runs in training only"
            )
        found = {self._features(features, model, ndim) for features in self.seen}
        if len(found) > 1:
            raise ValueError(
                f"{place} is called {len(self.seen)} times on different features, (channels, ndim) {sorted(found)}: "
                "one block cannot take them all; name a module that is called once"
            )
        return found.pop()

    def _features(self, features: object, model: nn.Module, ndim: int | None) -> tuple[int, int]:
        place, verb = self.place, "gives" if self.place.side == "after" else "is given"
        if not isinstance(features, Tensor):
            raise ValueError(
                f"{place} {verb} a {type(features).__name__} on example_input, not one feature map (B, C, *positions)"
            )
        shape = tuple(features.shape)
        if not 3 <= len(shape) <= 5 or not features.is_floating_point():
            raise ValueError(
                f"{place} {verb} {features.dtype} of shape {shape} on example_input, not a feature map "
                "(B, C, *positions)"
            )
        expected = convolution_ndim(place.target) or convolution_ndim(model)
        tokens = ndim is None and expected is not None and len(shape) - 2 != expected
        if tokens or (features.shape in self.channels_last_shapes and shape[1] != shape[-1]):
            raise ValueError(
                f"{place} {verb} features of shape {shape} on example_input, which are channels-last or tokens (its "
                f"layers work on the last axis, or are {expected}-D); a non-local block takes channels-first features "
                "(B, C, *positions): name a convolutional layer"
            )
        return shape[1], len(shape) - 2


@contextmanager
def left_as_it_was(model: nn.Module) -> Iterator[None]:
    """The model in eval mode; its training flags, its buffers and the random state are afterwards what they were."""
    training = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    cuda = sorted({p.get_device() for p in model.parameters() if p.is_cuda})
    with torch.random.fork_rng(devices=cuda):
        try:
            for module, _ in training:
                module.training = False
            yield
        finally:
            for module, flag in training:
                module.training = flag
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
