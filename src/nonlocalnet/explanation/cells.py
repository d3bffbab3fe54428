"""Which pixels a position of a deep map stands for: from the strides, kernels and padding of the layers before it.

Along one axis a layer with kernel k, stride s, padding p and dilation d takes its output o from the inputs o s - p to
o s - p + (k - 1) d. Its centre lies at o s - p + (k - 1) d / 2, and from one output to the next it moves by s:

    input     0 1 2 3 4 5 6          k = 3, s = 2, p = 1
    output 0  [0 1]                  centre 0, with one padded position before it
    output 1    [1 2 3]              centre 2
    output 2        [3 4 5]          centre 4

A cell is the stretch of one stride around that centre. Cells of neighbours touch; what an odd size leaves over at the
end is in no cell. (What a position can depend on, its receptive field, is far wider than its cell.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.padding import _ConstantPadNd, _ReflectionPadNd, _ReplicationPadNd
from torch.nn.modules.pooling import _AvgPoolNd, _MaxPoolNd

_PADDING = (_ConstantPadNd, _ReflectionPadNd, _ReplicationPadNd)


@dataclass(frozen=True)
class Cells:
    """The cells of a map along one axis, in input pixels: pixel p is the stretch [p, p + 1).

    Attributes:
        count: Positions of the map.
        stride: Pixels from one centre to the next.
        first: The centre of position 0.
        length: Pixels of the input.
        measured: Whether the layers said so; otherwise the positions are equal shares of the input.
    """

    count: int
    stride: float
    first: float
    length: int
    measured: bool = True

    def centre(self, position: float) -> float:
        """Where a position's centre lies, in pixels; it may lie in the padding."""
        return self.first + self.stride * position

    def span(self, position: int, *, positions: int = 1) -> tuple[float, float]:
        """The pixels [start, end) of so many neighbouring positions, cut at the input's ends."""
        start = self.centre(position) - self.stride / 2
        end = start + self.stride * positions
        return min(max(start, 0.0), self.length), max(min(end, self.length), 0.0)

    def nearest(self, pixel: float) -> int:
        """The position whose centre is nearest to a place in pixels."""
        return min(max(round((pixel - self.first) / self.stride), 0), self.count - 1)

    @classmethod
    def of_input(cls, length: int) -> Cells:
        """The input's own pixels."""
        return cls(length, 1.0, 0.5, length)

    @classmethod
    def equal_shares(cls, count: int, *, length: int) -> Cells:
        """As if every position were the same share of the input."""
        return cls(count, length / count, length / count / 2, length, measured=False)


class CellsByLayers:
    """Follows the layers of a network while it runs.

    What a layer makes of an axis depends on its input's size along that axis alone, as far as the networks of the field
    go: the branches of a residual block agree, or could not be added. So the first layer that gives a size decides what
    positions of that size stand for. (A layer that keeps a size is taken to keep the centres, which an even kernel with
    padding "same" moves by half a position.)

    Args:
        sizes: The input's axes without batch and channels.
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self._lengths = sizes
        self._known: list[dict[int, Cells]] = [{size: Cells.of_input(size)} for size in sizes]

    def note(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        """A forward hook: learn what the module makes of its input's axes."""
        if not args or not isinstance(args[0], Tensor) or not isinstance(output, Tensor):
            return
        layer, axes = _layer(module, len(self._lengths)), len(self._lengths)
        if layer is None or args[0].dim() < axes + 1 or args[0].dim() != output.dim():
            return
        for axis, (kernel, stride, padding) in enumerate(layer):
            before = self._known[axis].get(args[0].shape[axis - axes])
            size = output.shape[axis - axes]
            if before is not None and size not in self._known[axis]:
                first = before.first + before.stride * ((kernel - 1) / 2 - padding)
                self._known[axis][size] = Cells(size, before.stride * stride, first, before.length)

    def of(self, sizes: tuple[int, ...]) -> tuple[Cells, ...]:
        """The cells of a map of these sizes, an axis each; equal shares where no layer that was seen gave the size."""
        return tuple(
            known.get(size) or Cells.equal_shares(size, length=length)
            for size, known, length in zip(sizes, self._known, self._lengths, strict=True)
        )


def _layer(module: nn.Module, axes: int) -> list[tuple[float, float, float]] | None:
    """(kernel with its dilation, stride, padding before) along each axis; None for what is no such layer."""
    if isinstance(module, _ConvTransposeNd):
        return None
    if isinstance(module, _PADDING):
        # (last axis before, last axis after, ...): a layer that moves everything by what it puts before.
        before = list(module.padding)[-2::-2]
        return [(1.0, 1.0, float(pad)) for pad in before] if len(before) == axes else None
    if not isinstance(module, (_ConvNd, _MaxPoolNd, _AvgPoolNd)):
        return None
    kernels = _each(module.kernel_size, axes)
    strides = _each(module.stride if module.stride is not None else module.kernel_size, axes)
    dilations = _each(getattr(module, "dilation", 1), axes)
    if kernels is None or strides is None or dilations is None:
        return None
    spans = [(k - 1) * d + 1 for k, d in zip(kernels, dilations, strict=True)]
    same = [(span - 1) // 2 for span in spans]  # PyTorch puts the odd one after
    padding = {"same": same, "valid": [0] * axes}.get(module.padding) if isinstance(module.padding, str) else None
    paddings = padding or _each(module.padding, axes)
    return (
        None
        if paddings is None
        else [(float(k), float(s), float(p)) for k, s, p in zip(spans, strides, paddings, strict=True)]
    )


def _each(value: Any, axes: int) -> list[int] | None:
    """One number an axis; None where the layer has another number of axes."""
    values = [value] * axes if isinstance(value, int) else list(value)
    return values if len(values) == axes else None
