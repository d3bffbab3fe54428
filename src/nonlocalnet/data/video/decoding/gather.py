"""Frames that come one by one, in any order, into the one tensor that was asked for."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch

# Calls on single small frames cost more than their work; bringing large ones together costs more than the calls.
_SMALL_FRAME_BYTES = 1 << 18  # the crops of a 340x256 video are smaller, those of a 720p video larger
_BYTES_TOGETHER = 8 << 20


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


def gather(
    regions: Iterable[tuple[int, torch.Tensor]],
    frame_indices: Sequence[int],
    finish: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Put frames where they are asked for.

    Args:
        regions: (index, uint8 (1, h, w, 3)) of every distinct index at least once, all of one size; a later one takes
            the place of an earlier one.
        frame_indices: What was asked for, in any order and with repetitions.
        finish: Work on a few frames together, before more are fetched: uint8 (T, h, w, 3) to (T, H, W, 3).

    Returns:
        uint8 (N, H, W, 3), in the order of `frame_indices`.
    """
    wanted, positions = np.unique(np.asarray(frame_indices, np.int64), return_inverse=True)
    row_of = {int(frame): row for row, frame in enumerate(wanted)}
    out: torch.Tensor | None = None
    for numbers, regions_THWC in _together(regions):
        frames_THWC = finish(regions_THWC)
        if out is None and numbers == wanted.tolist():
            out = frames_THWC.contiguous()
            continue
        if out is None:
            out = torch.empty((len(wanted), *frames_THWC.shape[1:]), dtype=torch.uint8)
        for number, frame_HWC in zip(numbers, frames_THWC, strict=True):
            out[row_of[number]] = frame_HWC
    assert out is not None
    in_order = len(positions) == len(wanted) and bool((np.diff(positions) > 0).all())
    return out if in_order else out[torch.from_numpy(positions.reshape(-1))]


def _together(regions: Iterable[tuple[int, torch.Tensor]]) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Small frames many at a time, large ones alone; no index stands twice in one batch."""
    numbers: list[int] = []
    frames: list[torch.Tensor] = []
    for number, frame_1HWC in regions:
        if frame_1HWC.nbytes > _SMALL_FRAME_BYTES:
            yield [number], frame_1HWC
            continue
        if number in numbers or (len(frames) + 1) * frame_1HWC.nbytes > _BYTES_TOGETHER:
            yield numbers, torch.cat(frames)
            numbers, frames = [], []
        numbers.append(number)
        frames.append(frame_1HWC)
    if frames:
        yield numbers, torch.cat(frames)
