"""The shapes of the video networks as data: strides, kernels and padding of every variant and clip.

Sources, named beside each number: "Table 1" and the text of the paper (arXiv 1711.07971 v3); [C2], the authors'
released Caffe2 code, which departs from the paper where the variants "release" and "paper" differ; and the two PyTorch
programs that published weights of these networks, PySlowFast (facebookresearch/SlowFast, `slowfast/models`) and
mmaction2 (open-mmlab/mmaction2, `mmaction/models/backbones/resnet3d.py`), whose networks are variants of their own.

How the time axis shrinks (frames after conv1 -> pool1 -> pool2, the last being T' of res3, res4, res5 and the head):

    variant         clip    in     conv1  pool1  pool2
    release         8x8     8      8      8      4
    release         32x4    32     32     32     16
    release, paper  32x2    32     16     8      4
    release, paper  128x1   128    64     32     16
    slowfast        8x8     8      8      8      4
    mmaction2       32x2    32     16     8      4

and the space axes at 224 x 224 (after conv1 -> pool1 -> res3 -> res4 -> res5):

    release         224     112    55     28     14     7      (max-pools without padding)
    the others      224     112    56     28     14     7      (Table 1's output sizes)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal, NamedTuple, get_args

Clip = str  # frames x frame stride, such as "32x2"
Variant = Literal[
    "release",
    "paper",
    "slowfast",
    "slowfast-nopool",
    "mmaction2",
    "mmaction2-heavy",
    "mmaction2-slowonly",
    "mmaction2-c2d",
]
Depth = Literal[50, 101]
Inflate = Literal["3x1x1", "3x3x3"]
Inflated = Literal["alternate", "all", "late"]
TrunkNorm = Literal["batch", "affine"]
Size = tuple[int, int, int]

STAGES: tuple[str, ...] = ("res2", "res3", "res4", "res5")

# Residual blocks of each stage (Table 1; R101 as in the image networks).
STAGE_BLOCKS: dict[int, tuple[int, int, int, int]] = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}

# Frames of conv1's kernel for C2D: Table 1. Padding is half the kernel on every axis, so that the strides alone decide
# the sizes: 32 frames at stride 2 give Table 1's 16 with kernel 1 (padding 0) and with kernel 5 (padding 2).
CONV1_FRAMES_C2D = 1


class Inflation(NamedTuple):
    """Where the kernels of an inflated network span time.

    Attributes:
        conv1_frames: Frames of conv1's kernel, which is 7 x 7 in space.
        stages: Which residual blocks hold the inflated kernel, repeated along the stage.
    """

    conv1_frames: int
    stages: dict[str, tuple[bool, ...]]


# "alternate" is the paper's I3D as [C2] has it (PySlowFast's "i3d" and mmaction2's I3D are the same). The paper's text
# says one kernel "for every 2 residual blocks", the released res2 inflates all three; so do both variants here, since
# with two of three the 1.5x of I3D_3x1x1 in Table 2e would be 1.4x. "all" is mmaction2's I3D "heavy", "late" the
# single-pathway Slow network of PySlowFast ("slow") and mmaction2 ("SlowOnly"), of which NL weights are published.
INFLATIONS: dict[Inflated, Inflation] = {
    "alternate": Inflation(5, {"res2": (True,), "res3": (True, False), "res4": (True, False), "res5": (False, True)}),
    "all": Inflation(5, {"res2": (True,), "res3": (True,), "res4": (True,), "res5": (True,)}),
    "late": Inflation(1, {"res2": (False,), "res3": (False,), "res4": (True,), "res5": (True,)}),
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
        window: What the head averages before it classifies: "map", windows of res5's size for a training crop;
            "crop // 32", windows of so many rows and columns; "global", the whole map.
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
    window: Literal["map", "crop // 32", "global"] = "map"


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
GEOMETRIES: dict[tuple[Variant, Clip], Geometry] = {
    ("release", "8x8"): _RELEASE_8X8,
    ("release", "32x2"): _RELEASE_32X2,
    ("release", "32x4"): replace(_RELEASE_8X8, block_norm=None, group_frames_res3=4),
    ("release", "128x1"): replace(_RELEASE_32X2, block_norm=None, group_frames_res3=4),
    ("paper", "32x2"): _PAPER,
    ("paper", "128x1"): _PAPER,
}

# PySlowFast: one geometry for every clip, time is halved after res2 only; "slowfast-nopool" is its 2d, slow,
# slow_c2d and slow_i3d (c2d_nopool and i3d_nopool in older versions). The crop is TRAIN_CROP_SIZE, and 224 // 32 = 7.
_SLOWFAST = Geometry(
    conv1_stride=(1, 2, 2),
    pool1=Pool(kernel=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
    pool2=Pool(kernel=(2, 1, 1), stride=(2, 1, 1)),
    subsample_first=True,
    scale="rsqrt",
    window="crop // 32",
)
# mmaction2's I3D: conv1_stride_t 2, pool1_stride_t 2, and mmcv's NonLocal3d with use_scale=False, which pools after.
_MMACTION2 = Geometry(
    conv1_stride=(2, 2, 2),
    pool1=Pool(kernel=(1, 3, 3), stride=(2, 2, 2), padding=(0, 1, 1)),
    pool2=Pool(kernel=(2, 1, 1), stride=(2, 1, 1)),
    subsample_first=False,
    scale=1.0,
    window="global",
)
_NO_POOL = Pool(kernel=(1, 1, 1), stride=(1, 1, 1))
_MMACTION2_HEAVY = replace(
    _MMACTION2, conv1_stride=(1, 2, 2), pool1=Pool(kernel=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
)
# These take clips of any length and stride, which decide none of their strides.
FAMILIES: dict[Variant, Geometry] = {
    "slowfast": _SLOWFAST,
    "slowfast-nopool": replace(_SLOWFAST, pool2=_NO_POOL),
    "mmaction2": _MMACTION2,
    "mmaction2-heavy": _MMACTION2_HEAVY,
    # Its configurations with blocks set use_scale=True.
    "mmaction2-slowonly": replace(_MMACTION2_HEAVY, pool2=_NO_POOL, scale="rsqrt"),
    # `mmaction/models/backbones/c2d.py`: its pools are not padded.
    "mmaction2-c2d": replace(_MMACTION2_HEAVY, pool1=Pool(kernel=(1, 3, 3), stride=(1, 2, 2))),
}


def geometry_of(*, variant: Variant, clip: Clip) -> Geometry:
    """Return the geometry of a variant and a clip.

    Args:
        variant: A key of `GEOMETRIES` or of `FAMILIES`.
        clip: "8x8", "32x2", "32x4" or "128x1"; the paper's variant has 32x2 and 128x1 only, the families take any
            frames x frame stride.

    Returns:
        The entry of `GEOMETRIES` or of `FAMILIES`.

    Raises:
        ValueError: If either is unknown, or the variant has no such clip.
    """
    if variant not in get_args(Variant):
        raise ValueError(f"variant must be one of {', '.join(get_args(Variant))}, got {variant!r}")
    if variant in FAMILIES:
        if not isinstance(clip, str) or not re.fullmatch(r"[1-9]\d{0,3}x[1-9]\d{0,3}", clip):
            raise ValueError(f"clip must be frames x frame stride, such as 8x8, got {clip!r} (9999 is the most)")
        return FAMILIES[variant]
    known = tuple(dict.fromkeys(clip for _, clip in GEOMETRIES))
    if clip not in known:
        raise ValueError(f"clip must be one of {', '.join(known)}, got {clip!r}")
    if (variant, clip) not in GEOMETRIES:
        clips = " and ".join(known for of, known in GEOMETRIES if of == variant)
        raise ValueError(
            f"variant={variant!r} has no clip={clip!r}: the paper describes {clips} only; use variant='release' for it"
        )
    return GEOMETRIES[variant, clip]


def inflated_blocks(stage: str, *, depth: Depth, inflated: Inflated = "alternate") -> tuple[bool, ...]:
    """Say for each residual block of a stage whether an inflated network has a kernel that spans time in it."""
    pattern = INFLATIONS[inflated].stages[stage]
    num_blocks = STAGE_BLOCKS[depth][STAGES.index(stage)]
    return tuple(pattern[i % len(pattern)] for i in range(num_blocks))


def minimum_input(geometry: Geometry) -> Size:
    """Return the fewest frames, rows and columns that leave at least one position after every layer."""
    return (_minimum(geometry, axis=0), _minimum(geometry, axis=1), _minimum(geometry, axis=2))


def input_leaving(geometry: Geometry, positions: Mapping[str, Size]) -> Size:
    """Return the fewest frames, rows and columns that leave at least so many positions in the maps of some stages.

    Args:
        geometry: The strides and pools.
        positions: (T, H, W) by stage.
    """

    def fewest(axis: int) -> int:
        enough = (
            size
            for size in count(_minimum(geometry, axis=axis))
            if all(map_size(size, geometry, stage, axis=axis) >= least[axis] for stage, least in positions.items())
        )
        return next(enough)

    return (fewest(0), fewest(1), fewest(2))


def map_size(size: int, geometry: Geometry, stage: str, *, axis: int) -> int:
    """Return how many positions the map of a stage has along an axis of the input, 0 for time, 1 and 2 for space."""
    sizes = _sizes(size, geometry, axis=axis)
    if stage == "res2":
        return sizes[1]
    positions = sizes[2]
    for _ in range(STAGES.index(stage) if axis else 0):  # each stage from res3 on halves space with a padded 3x3
        positions = -(-positions // 2)
    return positions


def head_window(geometry: Geometry, *, crop: int | None) -> int | None:
    """Return the rows and columns that the head averages for a training crop of so many pixels; None for all of them.

    For crops that are multiples of 32, "map" and "crop // 32" are the same: 7 for 224.
    """
    if crop is None or geometry.window == "global":
        return None
    if geometry.window == "crop // 32":
        return max(1, crop // 32)
    return map_size(crop, geometry, "res5", axis=1)


def _minimum(geometry: Geometry, *, axis: int) -> int:
    return next(size for size in count(1) if min(_sizes(size, geometry, axis=axis)) >= 1)


def _sizes(size: int, geometry: Geometry, *, axis: int) -> Sequence[int]:
    """Sizes along one axis after conv1, pool1 and pool2; no later layer can empty a map."""
    # conv1 is padded by half its (odd) kernel, so its output is ceil(size / stride) for every kernel.
    sizes = [-(-size // geometry.conv1_stride[axis])]
    for kernel, stride, padding in (geometry.pool1, geometry.pool2):
        sizes.append((sizes[-1] + 2 * padding[axis] - kernel[axis]) // stride[axis] + 1)
    return sizes
