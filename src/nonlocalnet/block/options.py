"""The options of the block: what each may be, and which go together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeVar

Domain = Literal["spacetime", "space", "time"]
Norm = Literal["batch"]

AXES = {1: "L", 2: "H, W", 3: "T, H, W"}
_SOFTMAX_FORMS = ("gaussian", "embedded_gaussian")

_T = TypeVar("_T")


def positive(name: str, value: int) -> int:
    """The value, refused unless it is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return value


def one_of(name: str, value: _T, allowed: Sequence[object]) -> _T:
    """The value, refused unless it is one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def checked_scale(scale: float | Literal["rsqrt"], pairwise: str) -> float | Literal["rsqrt"]:
    """The scale, refused where it is out of range or the pairwise function has none."""
    number = isinstance(scale, (int, float)) and not isinstance(scale, bool)
    if scale != "rsqrt" and not (number and 0.0 < scale < math.inf):
        raise ValueError(f'scale must be a positive finite number or "rsqrt", got {scale!r}')
    if scale != 1.0 and pairwise not in _SOFTMAX_FORMS:
        raise ValueError(
            f"scale multiplies the logits of {' and '.join(_SOFTMAX_FORMS)} only: leave it 1.0 with "
            f"pairwise={pairwise!r}, got {scale!r}"
        )
    return scale


def pool_kernel(subsample: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Kernel and stride per axis, 1 where the axis is not pooled."""
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


def check_domain(domain: Domain, ndim: int, kernel: tuple[int, ...], group_frames: int | None) -> None:
    """Refuses domains and temporal groups that the axes or the pooling do not allow."""
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
