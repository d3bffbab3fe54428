"""What the layers say: how many channels, and of how many dimensions, a module gives or takes.

Only what is certain counts. A convolution or a normalisation says it itself; an ``nn.Sequential`` by its last (first)
such layer, with nothing but elementwise layers behind (before) it; a residual block by its last (first) convolution.
Of any other module nothing is known: a DenseNet or Inception block concatenates, and looks the same from outside.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from nonlocalnet.block import NonLocalBlock
from nonlocalnet.insert.children import Side
from nonlocalnet.insert.places import Place, runs_in_order
from nonlocalnet.insert.torchvision_layers import carriers, is_frozen_norm, is_permute

_ELEMENTWISE = (
    _DropoutNd,
    nn.Identity,
    nn.CELU,
    nn.ELU,
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,  # and ReLU6
    nn.LeakyReLU,
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.SELU,
    nn.Sigmoid,
    nn.SiLU,
    nn.Softplus,
    nn.Tanh,
)

_CHANNELS_LAST = (
    nn.Embedding,
    nn.Flatten,
    nn.Linear,
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.Unflatten,
)


class Known(NamedTuple):
    """What is known of a feature map; None where it is not."""

    channels: int | None
    ndim: int | None


def known_features(place: Place) -> Known:
    """What the layers say of the features at a place.

    Raises:
        ValueError: They are channels-last features or tokens, which a block cannot take.
    """
    _refuse_channels_last(place)
    return _of_layers(*_layers_inwards(place))


def convolution_ndim(module: nn.Module) -> int | None:
    """The number of dimensions of the module's convolutions; None without any, or where they differ."""
    found = {len(m.kernel_size) for m in module.modules() if isinstance(m, _ConvNd)}
    return found.pop() if len(found) == 1 else None


def is_channels_last_layer(module: nn.Module) -> bool:
    """Whether the layer works on the last axis, or leaves something other than (B, C, *positions).

    Subclasses of LayerNorm named for their dimensions (LayerNorm2d of torchvision and timm) are channels-first.
    """
    if isinstance(module, nn.LayerNorm):
        return not type(module).__name__.endswith(("1d", "2d", "3d"))
    return isinstance(module, _CHANNELS_LAST) or is_permute(module)


def _layers_inwards(place: Place) -> tuple[list[nn.Module], Side]:
    """The layers that may know the features at a place, the nearest first, and the side of them that is asked.

    Around a target that changes nothing but values (ReLU) these are the outputs of what comes before it in its
    ``nn.Sequential``.
    """
    if not runs_in_order(place.lineage[-1]) or not isinstance(place.target, _ELEMENTWISE):
        return [place.target], place.side
    children = list(place.lineage[-1]._modules.items())
    index = [name for name, _ in children].index(place.path.rpartition(".")[2])
    return [child for _, child in reversed(children[:index]) if child is not None], "after"


def _of_layers(layers: Iterable[nn.Module], side: Side) -> Known:
    """Of layers that run in a row, given from the place inwards."""
    channels = None
    for layer in layers:
        if isinstance(layer, _ELEMENTWISE):
            continue
        known = _of_module(layer, side)
        if channels is None:
            channels = known.channels
        if channels is None or known.ndim is not None or not isinstance(layer, (_NormBase, nn.GroupNorm)):
            return Known(channels, known.ndim)
    return Known(channels, None)


def _of_module(module: nn.Module, side: Side) -> Known:
    after = side == "after"
    if isinstance(module, NonLocalBlock):
        return Known(module.channels, module.ndim)
    if isinstance(module, _ConvNd):
        return Known((module.out_channels if after else module.in_channels) or None, len(module.kernel_size))
    if isinstance(module, _NormBase):
        return Known(module.num_features or None, _norm_ndim(module))
    if isinstance(module, nn.GroupNorm):
        return Known(module.num_channels, None)
    if is_frozen_norm(module):
        return Known(module.weight.numel(), 2)
    if runs_in_order(module):
        children = [child for child in module._modules.values() if child is not None]
        return _of_layers(reversed(children) if after else children, side)
    carried_by = carriers(module)
    if carried_by is not None:
        return _of_module(module.get_submodule(carried_by[1 if after else 0]), side)
    return _of_residual_block(module, side)


def _norm_ndim(norm: _NormBase) -> int | None:
    """2 or 3 by the layer's kind; BatchNorm1d also takes (B, C), and SyncBatchNorm takes any."""
    for ndim, kinds in ((2, (nn.BatchNorm2d, nn.InstanceNorm2d)), (3, (nn.BatchNorm3d, nn.InstanceNorm3d))):
        if isinstance(norm, kinds):
            return ndim
    return None


def _of_residual_block(module: nn.Module, side: Side) -> Known:
    """By the ResNet convention that torchvision, timm and this package share: conv1, conv2, ... and downsample.

    The last of the convolutions is added to the input (or to its downsampling), so its channels are the block's.
    """
    convolutions = [
        f"conv{number}" for number in range(1, 4) if isinstance(getattr(module, f"conv{number}", None), nn.Module)
    ]
    if not hasattr(module, "downsample") or convolutions[:1] != ["conv1"] or len(convolutions) < 2:
        return Known(None, None)
    return _of_module(module.get_submodule(convolutions[-1 if side == "after" else 0]), side)


def _refuse_channels_last(place: Place) -> None:
    target, parent = place.target, place.lineage[-1]
    layers, side = _layers_inwards(place)
    nearest = next((layer for layer in layers if not isinstance(layer, _ELEMENTWISE)), None)
    culprit = None if nearest is None else _channels_last_edge(nearest, side)
    if culprit is None and not any(True for _ in target.parameters()) and _is_channels_last(parent):
        culprit = parent
    if culprit is not None:
        raise ValueError(
            f"{place} has channels-last or token features (its {type(culprit).__name__} works on the last axis); a "
            "non-local block takes channels-first features (B, C, *positions): name a convolutional layer"
        )


def _channels_last_edge(module: nn.Module, side: Side) -> nn.Module | None:
    """The layer that shows a module to be channels-last on this side."""
    if runs_in_order(module):
        children = [child for child in module._modules.values() if not isinstance(child, (_ELEMENTWISE, type(None)))]
        return _channels_last_edge(children[-1 if side == "after" else 0], side) if children else None
    return module if _is_channels_last(module) else None


def _is_channels_last(module: nn.Module) -> bool:
    """A layer of that kind, or a module made of such layers without any convolution (Swin, ViT, their MLPs)."""
    layers = list(module.modules())
    return is_channels_last_layer(module) or (
        any(map(is_channels_last_layer, layers)) and not any(isinstance(layer, _ConvNd) for layer in layers)
    )
