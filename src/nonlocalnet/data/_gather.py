"""Frames that come one by one, in any order, into the one tensor that was asked for."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch


def distinct(frame_indices: Sequence[int], num_frames: int, *, of: object) -> list[int]:
    """The frames to read, each once, ascending.

    Raises:
        ValueError: An index is outside [0, num_frames), or none is given; the message begins with `of`.
    """
    if not len(frame_indices):
        raise ValueError("frame_indices must hold at least one index, got none")
    wanted = sorted({int(frame) for frame in frame_indices})
    if wanted[0] < 0 or wanted[-1] >= num_frames:
        bad = wanted[0] if wanted[0] < 0 else wanted[-1]
        raise ValueError(f"{of}: frame index {bad} is out of range: the video has {num_frames} frames, from 0")
    return wanted


def gather(frames: Iterable[tuple[int, torch.Tensor]], frame_indices: Sequence[int]) -> torch.Tensor:
    """Put frames where they are asked for.

    Args:
        frames: (index, uint8 (1, H, W, 3)) of every distinct index at least once, all of one size; a later one takes
            the place of an earlier one.
        frame_indices: What was asked for, in any order and with repetitions.

    Returns:
        uint8 (N, H, W, 3), in the order of `frame_indices`.
    """
    wanted, positions = np.unique(np.asarray(frame_indices, np.int64), return_inverse=True)
    row_of = {int(frame): row for row, frame in enumerate(wanted)}
    out: torch.Tensor | None = None
    for number, frame_1HWC in frames:
        if out is None:
            out = torch.empty((len(wanted), *frame_1HWC.shape[1:]), dtype=torch.uint8)
        out[row_of[number]] = frame_1HWC[0]
    assert out is not None
    in_order = len(positions) == len(wanted) and bool((np.diff(positions) > 0).all())
    return out if in_order else out[torch.from_numpy(positions.reshape(-1))]
