"""The shapes of the video networks as data: strides, kernels and padding of every variant and clip.

Sources, named beside each number: "Table 1" and the text of the paper (arXiv 1711.07971 v3), and [C2], the authors'
released Caffe2 code, which departs from the paper where the two variants below differ.

How the time axis shrinks (frames after conv1 -> pool1 -> pool2, the last being T' of res3, res4, res5 and the head):

    variant   clip    in     conv1  pool1  pool2
    release   8x8     8      8      8      4
    release   32x4    32     32     32     16
    both      32x2    32     16     8      4
    both      128x1   128    64     32     16

and the space axes at 224 x 224 (after conv1 -> pool1 -> res3 -> res4 -> res5):

    release   224     112    55     28     14     7      (max-pools without padding)
    paper     224     112    56     28     14     7      (Table 1's output sizes)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal, NamedTuple, get_args

Clip = Literal["8x8", "32x2", "32x4", "128x1"]
Variant = Literal["release", "paper"]
Depth = Literal[50, 101]
Inflate = Literal["3x1x1", "3x3x3"]
Size = tuple[int, int, int]

STAGES: tuple[str, ...] = ("res2", "res3", "res4", "res5")

# Residual blocks of each stage (Table 1; R101 as in the image networks).
STAGE_BLOCKS: dict[int, tuple[int, int, int, int]] = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}

# Kernel of conv1: Table 1 for C2D, "5x7x7" for I3D. Padding is half the kernel on every axis, so that the strides alone
# decide the sizes: 32 frames at stride 2 give Table 1's 16 with kernel 1 (padding 0) and with kernel 5 (padding 2).
CONV1_KERNEL_C2D: Size = (1, 7, 7)
CONV1_KERNEL_I3D: Size = (5, 7, 7)

# Which residual blocks of an I3D hold the inflated kernel, repeated along the stage ([C2]). The paper's text says one
# kernel "for every 2 residual blocks", the released res2 inflates all three; so do both variants here, since with two
# of three the 1.5x of I3D_3x1x1 in Table 2e would be 1.4x.
I3D_INFLATED: dict[str, tuple[bool, ...]] = {
    "res2": (True, True, True),
    "res3": (True, False),
    "res4": (True, False),
    "res5": (False, True),
}


class Pool(NamedTuple):
    """A max-pool over (T, H, W)."""

    kernel: Size
    stride: Size
    padding: Size = (0, 0, 0)


@dataclass(frozen=True)
class Geometry:
    """What a variant and a clip decide about a network.

    Attributes:
        conv1_stride: Stride of conv1 over (T, H, W).
        pool1: The max-pool between the stem and res2.
        pool2: The max-pool between res2 and res3.
        subsample_first: Whether a non-local block pools x before phi and g, or pools their outputs.
        scale: Factor on the logits of a non-local block's softmax; "rsqrt" is inner_channels ** -0.5.
        block_norm: The normalisation after W_z in a non-local block.
        group_frames_res3: Frames in each temporal group of the non-local blocks of res3; None for no groups.
        norm_eps: What BatchNorm adds to the variance.
        norm_momentum: Weight of the newest batch in BatchNorm's running statistics (PyTorch's sense).
    """

    conv1_stride: Size
    pool1: Pool
    pool2: Pool
    subsample_first: bool
    scale: float | Literal["rsqrt"]
    block_norm: Literal["batch"] | None = "batch"
    group_frames_res3: int | None = None
    norm_eps: float = 1e-5
    norm_momentum: float = 0.1


# [C2], 32x2 and 128x1: time is halved in conv1, pool1 and pool2.
_RELEASE_32X2 = Geometry(
    conv1_stride=(2, 2, 2),
    pool1=Pool(kernel=(2, 3, 3), stride=(2, 2, 2)),
    pool2=Pool(kernel=(2, 1, 1), stride=(2, 1, 1)),
    subsample_first=True,
    scale="rsqrt",
)
# [C2], 8x8 and 32x4: time is halved in pool2 only.
_RELEASE_8X8 = Geometry(
    conv1_stride=(1, 2, 2),
    pool1=Pool(kernel=(1, 3, 3), stride=(1, 2, 2)),
    pool2=Pool(kernel=(2, 1, 1), stride=(2, 1, 1)),
    subsample_first=True,
    scale="rsqrt",
)
# Table 1. Its sizes (112 -> 56, 16 -> 8 -> 4) hold when a pool is padded by 1 along every axis where its kernel is 3.
_PAPER = Geometry(
    conv1_stride=(2, 2, 2),
    pool1=Pool(kernel=(3, 3, 3), stride=(2, 2, 2), padding=(1, 1, 1)),
    pool2=Pool(kernel=(3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0)),
    subsample_first=False,
    scale=1.0,
)
# [C2], long clips (32x4, 128x1): every norm was frozen, so the blocks have none, and those of res3 work in temporal
# groups of 4 frames.
GEOMETRIES: dict[tuple[str, str], Geometry] = {
    ("release", "8x8"): _RELEASE_8X8,
    ("release", "32x2"): _RELEASE_32X2,
    ("release", "32x4"): replace(_RELEASE_8X8, block_norm=None, group_frames_res3=4),
    ("release", "128x1"): replace(_RELEASE_32X2, block_norm=None, group_frames_res3=4),
    ("paper", "32x2"): _PAPER,
    ("paper", "128x1"): _PAPER,
}


def geometry_of(*, variant: str, clip: str) -> Geometry:
    """Return the geometry of a variant and a clip.

    Args:
        variant: "release" or "paper".
        clip: "8x8", "32x2", "32x4" or "128x1"; the paper's variant has 32x2 and 128x1 only.

    Returns:
        The entry of `GEOMETRIES`.

    Raises:
        ValueError: If either is unknown, or the paper has no such clip.
    """
    if variant not in get_args(Variant):
        raise ValueError(f"variant must be one of {', '.join(get_args(Variant))}, got {variant!r}")
    if clip not in get_args(Clip):
        raise ValueError(f"clip must be one of {', '.join(get_args(Clip))}, got {clip!r}")
    if (variant, clip) not in GEOMETRIES:
        clips = " and ".join(known for of, known in GEOMETRIES if of == variant)
        raise ValueError(
            f"variant={variant!r} has no clip={clip!r}: the paper describes {clips} only; use variant='release' for it"
        )
    return GEOMETRIES[variant, clip]


def inflated_blocks(stage: str, *, depth: Depth) -> tuple[bool, ...]:
    """Say for each residual block of a stage whether an I3D inflates a kernel in it."""
    pattern = I3D_INFLATED[stage]
    num_blocks = STAGE_BLOCKS[depth][STAGES.index(stage)]
    return tuple(pattern[i % len(pattern)] for i in range(num_blocks))


def minimum_input(geometry: Geometry) -> Size:
    """Return the fewest frames, rows and columns that leave at least one position after every layer."""
    return (_minimum(geometry, axis=0), _minimum(geometry, axis=1), _minimum(geometry, axis=2))


def head_window(geometry: Geometry, *, crop: int) -> int:
    """Return the rows of res5's output for a crop of so many pixels: crop / 32 where that is whole, 7 for 224."""
    rows = _sizes(crop, geometry, axis=1)[-1]
    for _ in ("res3", "res4", "res5"):  # each halves the rows with a padded 3x3
        rows = -(-rows // 2)
    return rows


def _minimum(geometry: Geometry, *, axis: int) -> int:
    return next(size for size in count(1) if min(_sizes(size, geometry, axis=axis)) >= 1)


def _sizes(size: int, geometry: Geometry, *, axis: int) -> Sequence[int]:
    """Sizes along one axis after conv1, pool1 and pool2; no later layer can empty a map."""
    # conv1 is padded by half its (odd) kernel, so its output is ceil(size / stride) for every kernel.
    sizes = [-(-size // geometry.conv1_stride[axis])]
    for kernel, stride, padding in (geometry.pool1, geometry.pool2):
        sizes.append((sizes[-1] + 2 * padding[axis] - kernel[axis]) // stride[axis] + 1)
    return sizes
