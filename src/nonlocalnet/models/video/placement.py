"""Which residual blocks the non-local blocks follow: the paper's 1, 5 and 10 blocks as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from nonlocalnet.models.video.geometry import STAGE_BLOCKS, STAGES, Depth

# Residual blocks, counted from 0 in their stage, that a non-local block follows.
#  1: right before the last residual block of res4 (Section 5.1 and Table 2a).
#  5: 2 in res3 and 3 in res4, every other residual block (Section 5.1); which ones of R101's res4 is [C2]'s choice.
# 10: after every residual block of res3 and res4 of R50. For R101 the paper says "the corresponding" blocks and no
#     more: the 4 of res3 and, evenly spread up to the last, 6 of res4's 23 are our reading.
PLACEMENTS: dict[tuple[int, int], dict[str, tuple[int, ...]]] = {
    (50, 1): {"res4": (4,)},
    (101, 1): {"res4": (21,)},
    (50, 5): {"res3": (1, 3), "res4": (1, 3, 5)},
    (101, 5): {"res3": (1, 3), "res4": (6, 13, 20)},
    (50, 10): {"res3": (0, 1, 2, 3), "res4": (0, 1, 2, 3, 4, 5)},
    (101, 10): {"res3": (0, 1, 2, 3), "res4": (2, 6, 10, 14, 18, 22)},
}


def nonlocal_paths(nonlocal_blocks: int | Sequence[str], *, depth: Depth) -> tuple[str, ...]:
    """Return the paths of the residual blocks that a non-local block follows, in the network's order.

    Args:
        nonlocal_blocks: 0, 1, 5 or 10 for the paper's placements, or paths of residual blocks such as ["res4.4"] (the
            fifth block of res4).
        depth: 50 or 101.

    Returns:
        Paths such as ("res3.1", "res3.3").

    Raises:
        ValueError: For another number, a path that names no residual block of this depth, or the same path twice.
    """
    if isinstance(nonlocal_blocks, str):
        raise ValueError(
            f"nonlocal_blocks must be a number or a list of paths, got {nonlocal_blocks!r}; write [{nonlocal_blocks!r}]"
        )
    if isinstance(nonlocal_blocks, int) or not isinstance(nonlocal_blocks, Iterable):
        return _paper_paths(nonlocal_blocks, depth=depth)
    paths = tuple(nonlocal_blocks)
    for path in paths:
        _check_path(path, depth=depth)
    repeated = sorted(path for path, count in Counter(paths).items() if count > 1)
    if repeated:
        raise ValueError(f"nonlocal_blocks names {', '.join(repeated)} more than once; give each path once")
    return tuple(sorted(paths, key=_position))


def _paper_paths(number: object, *, depth: Depth) -> tuple[str, ...]:
    if isinstance(number, bool) or not isinstance(number, int) or number not in (0, 1, 5, 10):
        raise ValueError(
            f"nonlocal_blocks must be 0, 1, 5, 10 or a list of residual blocks such as ['res4.4'], got {number!r}"
        )
    if number == 0:
        return ()
    return tuple(f"{stage}.{index}" for stage, indices in PLACEMENTS[depth, number].items() for index in indices)


def _check_path(path: str, *, depth: Depth) -> None:
    stage, _, index = path.partition(".")
    if stage not in STAGES or not index.isdecimal() or index != str(int(index)):
        raise ValueError(f"nonlocal_blocks names {path!r}, which is no residual block; write for instance 'res4.4'")
    num_blocks = STAGE_BLOCKS[depth][STAGES.index(stage)]
    if int(index) >= num_blocks:
        raise ValueError(
            f"nonlocal_blocks names {path!r}, but {stage} of ResNet-{depth} ends with {stage}.{num_blocks - 1}"
        )


def _position(path: str) -> tuple[str, int]:
    stage, _, index = path.partition(".")
    return stage, int(index)
