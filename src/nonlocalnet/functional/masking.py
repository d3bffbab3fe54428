"""Leaving positions out of the sum.

A masked position's rows are replaced by zeros, not multiplied by them: padding may hold NaN. Where every position of
a batch element is masked the sum is empty, and the result is 0 with gradient 0.
"""

import torch
from torch import Tensor


def zero_masked(rows_BMC: Tensor, key_mask_BM: Tensor | None) -> Tensor:
    """The rows with those of masked positions replaced by zeros (and so with gradient zero)."""
    if key_mask_BM is None:
        return rows_BMC
    return rows_BMC.masked_fill(~key_mask_BM.unsqueeze(2), 0.0)


def all_kept(rows_BMC: Tensor) -> Tensor:
    """The mask (B, M) that leaves nothing out."""
    return torch.ones(rows_BMC.shape[:2], dtype=torch.bool, device=rows_BMC.device)


def logit_bias(key_mask_BM: Tensor | None, *, dtype: torch.dtype) -> Tensor | None:
    """(B, 1, M) to add to logits: -inf at masked positions.

    Where all are masked it is 0 everywhere: their weights are then finite, and multiply rows of g that are zero.
    """
    if key_mask_BM is None:
        return None
    left_out_BM = ~key_mask_BM & key_mask_BM.any(dim=1, keepdim=True)
    zeros_BM = torch.zeros(key_mask_BM.shape, dtype=dtype, device=key_mask_BM.device)
    return zeros_BM.masked_fill(left_out_BM, float("-inf")).unsqueeze(1)


def one_over_count(keys_BMC: Tensor, key_mask_BM: Tensor | None) -> Tensor:
    """(B, 1, 1): 1 / (number of positions kept), in the keys' dtype; 1 where none is kept."""
    batch, positions, _ = keys_BMC.shape
    if key_mask_BM is None:
        count_B = torch.full((batch,), positions, dtype=keys_BMC.dtype, device=keys_BMC.device)
    else:
        count_B = key_mask_BM.sum(dim=1).clamp(min=1).to(keys_BMC.dtype)
    return count_B.reciprocal().view(batch, 1, 1)


def all_over_count(key_mask_BM: Tensor) -> Tensor:
    """(B, 1) float32: M / (number of positions kept), which turns a mean over all M into one over those kept."""
    return key_mask_BM.shape[1] / key_mask_BM.sum(dim=1, keepdim=True).clamp(min=1).float()
