"""Bytes to the floats that a network takes, after everything else."""

from collections.abc import Sequence

import torch


def normalise(
    batch: torch.Tensor,
    *,
    mean: float | Sequence[float] = 114.75,
    std: float | Sequence[float] = 57.375,
    bgr: bool = False,
) -> torch.Tensor:
    """Bytes to the network's input: (x - mean) / std, and B,T,H,W,C to B,C,T,H,W.

    Args:
        batch: uint8 (B, T, H, W, 3).
        mean: On the scale 0..255, one value or one a channel; the paper's code has 114.75.
        std: As `mean`; the paper's code has 57.375.
        bgr: Whether the network takes blue, green, red, of which `mean` and `std` then are; the batch is RGB always.

    Returns:
        float32 (B, 3, T, H, W) on the batch's device, in channels-last memory order (no copy is made for the
        transpose).

    Raises:
        ValueError: The batch is not uint8 (B, T, H, W, 3): floats could hold NaN, and would be scaled twice.
    """
    if batch.dtype != torch.uint8:
        raise ValueError(f"batch must be uint8 frames of 0..255, got {batch.dtype}; normalise converts and scales them")
    if batch.ndim != 5 or batch.shape[-1] != 3:
        raise ValueError(f"batch must have shape (B, T, H, W, 3), got {tuple(batch.shape)}")
    mean_C = torch.as_tensor(mean, dtype=torch.float32, device=batch.device)
    std_C = torch.as_tensor(std, dtype=torch.float32, device=batch.device)
    if bgr:
        batch = batch.flip(-1)
    return batch.float().sub_(mean_C).div_(std_C).permute(0, 4, 1, 2, 3)
