"""The options of the block: what each is, its default, what it may be, and which go together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict, TypeVar

from typing_extensions import Unpack

from nonlocalnet.block.positions import KeyBlocks, LearnedPositions, chosen_from_plain
from nonlocalnet.functional.pairwise import PAIRWISE, PAIRWISE_FUNCTIONS, Pairwise, row_of
from nonlocalnet.system.numeric import is_number
from nonlocalnet.system.visible import cut

Domain = Literal["spacetime", "space", "time"]
Norm = Literal["batch", "layer"]
InitStd = float | Literal["fan_in"]

Subsample = int | Sequence[int] | LearnedPositions | KeyBlocks | None

AXES = {1: "L", 2: "H, W", 3: "T, H, W"}

_T = TypeVar("_T")


class BlockArguments(TypedDict, total=False):
    """The fields of `BlockOptions` as keyword arguments, so that calls are checked (a test holds the two together)."""

    inner_channels: int | None
    pairwise: Pairwise
    scale: float | Literal["rsqrt"]
    subsample: Subsample
    subsample_first: bool
    domain: Domain
    temporal_group_frames: int | None
    causal: bool
    window: int | None
    dilation: int
    norm: Norm | None
    zero_init: bool
    init_std: InitStd


@dataclass(frozen=True, kw_only=True)
class BlockOptions:
    """How a non-local block is made; whatever takes block options takes these, by name or as `block=`.

    Attributes:
        inner_channels: D of theta, phi and g; None is half of the block's channels (the paper's bottleneck), at least
            1.
        pairwise: "gaussian", "embedded_gaussian", "dot_product" or "concatenation" (Section 3.2).
        scale: Multiplies the logits of the softmax forms: a positive number, or "rsqrt" for
            ``inner_channels ** -0.5`` ([C2]). The paper has none (1.0). The other forms take 1.0 only.
        subsample: Max-pooling of the j side, kernel = stride. None: no pooling. An int k pools space only, as the
            paper does: (1, k, k) for ndim=3, (k, k) for ndim=2, (k,) for ndim=1. A tuple gives every axis. An axis
            shorter than its kernel is not pooled, since pooling would leave it empty; where an axis is not a
            multiple of its kernel, the positions past the last full window are left out. (For ``torch.export`` and
            ONNX declare a dynamic axis that is pooled as at least two kernels long: PyTorch fixes sizes of 1.) In the
            place of pooling: `LearnedPositions`, or its rival `KeyBlocks`; neither is in the paper.
        subsample_first: False pools phi(x) and g(x) (the paper's figure); True pools x before phi and g ([C2]). The
            keys of "gaussian", which has no phi, are the pooled x in both. Without ``subsample`` it has no effect.
        domain: "spacetime": j runs over all positions; "space": over i's frame; "time": over i's location. The last
            two need ndim=3, and the pooling may not touch the axes that i and j share: with "space" the kernel is 1
            in time, with "time" it is 1 in space (a ValueError otherwise; nothing is left out silently).
        temporal_group_frames: Attend inside groups of so many frames only ([C2] res3 of the long-clip models: 4). T
            must divide into groups. ndim=3 only; not with "space", which looks at one frame anyway.
        causal: Every position is summed over what came before and itself only: in time, that is ndim=1, or ndim=3 by
            whole frames. A pooled position counts once its whole window is at or before i; where none does the sum is
            0. Not in the paper. Not with ``norm="batch"``, whose statistics hold the future, nor with "space".
        window: Sum over so many positions to each side only (before, in a causal block), and the position itself:
            ndim=1, without `subsample`. None: over all. Not in the paper.
        dilation: Distance between the positions of the window.
        norm: "batch" (BatchNorm after W_z, eps 1e-5, momentum 0.1 [C2]); "layer" (LayerNorm over the channels of each
            position, eps 1e-3, for sequences, where neither the future nor a batch's padding may count); or None.
        zero_init: True: the fresh block is the identity. False: the norm's scale is 1, or under ``norm=None`` W_z
            is drawn like the other convolutions.
        init_std: Standard deviation of fresh convolutions and w_f: 0.01 ([C2]), another number, or "fan_in" for the
            inputs of each ** -0.5. LayerNorm's eps swallows what a block of 0.01 gives on features of about 1 (a
            variance of 1e-7, and of 1e-14 for dot product), so that networks for sequences take "fan_in".

    Raises:
        ValueError: An option is out of range, or the pairwise function has no such scale.
    """

    inner_channels: int | None = None
    pairwise: Pairwise = "embedded_gaussian"
    scale: float | Literal["rsqrt"] = 1.0
    subsample: Subsample = None
    subsample_first: bool = False
    domain: Domain = "spacetime"
    temporal_group_frames: int | None = None
    causal: bool = False
    window: int | None = None
    dilation: int = 1
    norm: Norm | None = "batch"
    zero_init: bool = True
    init_std: InitStd = 0.01

    def __post_init__(self) -> None:
        if self.inner_channels is not None:
            positive("inner_channels", self.inner_channels)
        one_of("pairwise", self.pairwise, PAIRWISE)
        _check_scale(self.scale, self.pairwise)
        one_of("domain", self.domain, ("spacetime", "space", "time"))
        one_of("norm", self.norm, ("batch", "layer", None))
        one_of("causal", self.causal, (True, False))
        if self.causal and self.norm == "batch":
            raise ValueError(
                'causal=True may not have norm="batch", whose statistics are of all positions, later ones too: give '
                'norm="layer" or None'
            )
        one_of("subsample_first", self.subsample_first, (True, False))
        one_of("zero_init", self.zero_init, (True, False))
        if self.init_std != "fan_in" and not (is_number(self.init_std) and 0.0 < self.init_std < math.inf):
            raise ValueError(f'init_std must be a positive finite number or "fan_in", got {self.init_std!r}')
        if isinstance(self.subsample, list):
            object.__setattr__(self, "subsample", tuple(self.subsample))
        if isinstance(self.subsample, Mapping):  # as files hold it
            object.__setattr__(self, "subsample", chosen_from_plain(self.subsample))
        if isinstance(self.subsample, LearnedPositions) and self.causal:
            self.subsample.check_causal()
        _check_window(self.window, self.dilation, self.subsample)

    def changed(self, **options: Unpack[BlockArguments]) -> BlockOptions:
        """These options with others in the place of some.

        Where `pairwise` is changed to a form without a softmax, a scale that is not given with it goes back to 1.0.

        Raises:
            ValueError: As the class.
            TypeError: There is no option of a name; named.
        """
        if "pairwise" in options and "scale" not in options:
            row = row_of(one_of("pairwise", options["pairwise"], PAIRWISE))
            options["scale"] = self.scale if row.is_softmax else 1.0
        return replace(self, **options)

    def pool_kernel(self, ndim: int) -> tuple[int, ...]:
        """Kernel and stride of the pooling, 1 on an axis that is not pooled.

        Raises:
            ValueError: The options do not go together on so many axes.
        """
        chosen = isinstance(self.subsample, (LearnedPositions, KeyBlocks))
        kernel = (1,) * ndim if chosen else _pool_kernel(self.subsample, ndim)
        if self.window is not None and ndim != 1:
            raise ValueError(f"window={self.window} goes along a sequence: it needs ndim=1, got ndim={ndim}")
        _check_domain(self.domain, ndim, kernel, self.temporal_group_frames)
        if self.causal and (ndim == 2 or self.domain == "space"):
            raise ValueError(
                "causal=True goes over time: it needs ndim=1, or ndim=3 with domain spacetime or time, "
                f"got ndim={ndim} with domain={self.domain!r}"
            )
        return kernel


def positive(name: str, value: int) -> int:
    """The value, refused unless it is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return value


def checked_block(block: _T | None, kind: type[_T]) -> _T | None:
    """What was given as `block=`, refused unless it is options of this kind, or None for none."""
    if block is None or isinstance(block, kind):
        return block
    raise ValueError(
        f"block must be {kind.__name__}(...) or None, got {cut(repr(block))}; a single option is given by its name, "
        'such as pairwise="gaussian"'
    )


def one_of(name: str, value: _T, allowed: Sequence[object]) -> _T:
    """The value, refused unless it is one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def _check_scale(scale: float | Literal["rsqrt"], pairwise: Pairwise) -> None:
    """Refuse a scale that is out of range or that the pairwise function does not have."""
    if scale != "rsqrt" and not (is_number(scale) and 0.0 < scale < math.inf):
        raise ValueError(f'scale must be a positive finite number or "rsqrt", got {scale!r}')
    if scale != 1.0 and not row_of(pairwise).is_softmax:
        softmax_forms = " and ".join(row.name for row in PAIRWISE_FUNCTIONS if row.is_softmax)
        raise ValueError(
            f"scale multiplies the logits of {softmax_forms} only: leave it 1.0 with pairwise={pairwise!r}, "
            f"got {scale!r}"
        )


def _check_window(window: int | None, dilation: int, subsample: Subsample) -> None:
    """Refuse windows that are out of range, and options that do nothing beside them."""
    positive("dilation", dilation)
    if window is None:
        if dilation != 1:
            raise ValueError(f"dilation={dilation} is the distance between the positions of a window: give window, too")
        return
    if isinstance(window, bool) or not isinstance(window, int) or window < 0:
        raise ValueError(f"window must be an integer of at least 0, or None for all positions, got {window!r}")
    if subsample is not None:
        raise ValueError(f"window={window} is over neighbouring positions: leave out subsample, got {subsample!r}")


def _pool_kernel(subsample: Subsample, ndim: int) -> tuple[int, ...]:
    if subsample is None:
        return (1,) * ndim
    if isinstance(subsample, int):
        size = positive("subsample", subsample)
        return (1, size, size) if ndim == 3 else (size,) * ndim
    if isinstance(subsample, str) or not isinstance(subsample, Sequence) or len(subsample) != ndim:
        raise ValueError(
            f"subsample must be None, an integer, or one integer per axis ({AXES[ndim]}) for ndim={ndim}, "
            f"got {subsample!r}"
        )
    return tuple(positive("subsample", size) for size in subsample)


def _check_domain(domain: Domain, ndim: int, kernel: tuple[int, ...], group_frames: int | None) -> None:
    """Refuse domains and temporal groups that the axes or the pooling do not allow."""
    if ndim != 3 and (domain != "spacetime" or group_frames is not None):
        raise ValueError(
            f"domain={domain!r} with temporal_group_frames={group_frames} needs a time axis (ndim=3), got ndim={ndim}"
        )
    if domain == "space" and kernel[0] != 1:
        raise ValueError(f'domain="space" keeps j in i\'s frame: subsample may not pool time, got kernel {kernel}')
    if domain == "time" and kernel[1:] != (1, 1):
        raise ValueError(
            f'domain="time" keeps j at i\'s location: subsample may not pool space, got kernel {kernel}; '
            "use subsample=None"
        )
    if group_frames is None:
        return
    positive("temporal_group_frames", group_frames)
    if domain == "space":
        raise ValueError(f'domain="space" looks at one frame: temporal_group_frames must be None, got {group_frames}')
    if group_frames % kernel[0] != 0:
        raise ValueError(
            f"temporal_group_frames={group_frames} must be a multiple of the pooling in time, got kernel {kernel}"
        )
