"""Gaussian and embedded Gaussian: the normaliser is the sum of the exponentials, so the weights are a softmax.

Shape suffixes: B batch, N output positions, M summed positions, C and D channels.
"""

import torch
from torch import Tensor

from nonlocalnet.functional.algorithms import SOFTMAX, case_of, choose
from nonlocalnet.functional.checks import check_operands, check_scale
from nonlocalnet.functional.masking import logit_bias, zero_masked
from nonlocalnet.functional.precision import in_dtype, result_dtype, sum_dtype, without_autocast
from nonlocalnet.functional.softmax_blocks import softmax_sum
from nonlocalnet.functional.softmax_flash import flash_softmax_sum
from nonlocalnet.functional.softmax_fused import fused_softmax_sum


def gaussian(
    x_BNC: Tensor, keys_BMC: Tensor, g_BMD: Tensor, *, scale: float = 1.0, key_mask: Tensor | None = None
) -> Tensor:
    """Equations 1 and 2: y_i = sum_j exp(scale x_i . x_j) g_j / sum_j exp(scale x_i . x_j).

    The matrix of N x M weights is held only where it is smaller than the operands, or fits a GPU's cache; else parts of
    it are made, used and made again in the backward pass (`nonlocalnet.functional.algorithms`).

    Args:
        x_BNC: the output positions' features, (B, N, C).
        keys_BMC: the summed positions' features, (B, M, C): x itself, or x subsampled.
        g_BMD: what is summed, (B, M, D).
        scale: factor of the logits; the paper has none (1.0).
        key_mask: (B, M) bool; positions with False are left out of the sum and of its normaliser. Where a batch
            element keeps none its result is 0, with gradient 0.

    Returns:
        y, (B, N, D), in the operands' dtype. float16 and bfloat16 operands are accumulated in float32.

    Raises:
        ValueError: for wrong shapes, dtypes or devices, and where there is nothing to sum over (M = 0).
    """
    return _softmax_weighted_sum(("x", x_BNC), ("keys", keys_BMC), g_BMD, scale=scale, key_mask=key_mask)


def embedded_gaussian(
    theta_BNC: Tensor, phi_BMC: Tensor, g_BMD: Tensor, *, scale: float = 1.0, key_mask: Tensor | None = None
) -> Tensor:
    """Equations 1 and 3: y_i = sum_j exp(scale theta_i . phi_j) g_j / sum_j exp(scale theta_i . phi_j).

    Args:
        theta_BNC: the output positions' embedding, (B, N, C).
        phi_BMC: the summed positions' embedding, (B, M, C).
        g_BMD: what is summed, (B, M, D).
        scale: factor of the logits. The paper has none (1.0); the authors' release multiplies by C ** -0.5 [C2].
        key_mask: (B, M) bool, as in `gaussian`.

    Returns:
        y, (B, N, D), in the operands' dtype. float16 and bfloat16 operands are accumulated in float32.

    Raises:
        ValueError: for wrong shapes, dtypes or devices, and where there is nothing to sum over (M = 0).
    """
    return _softmax_weighted_sum(("theta", theta_BNC), ("phi", phi_BMC), g_BMD, scale=scale, key_mask=key_mask)


def softmax_weights(queries_BNC: Tensor, keys_BMC: Tensor, *, scale: float, bias_B1M: Tensor | None) -> Tensor:
    """(B, N, M) weights, with every one in memory: the textbook form, for export and for the rows of `affinity`."""
    logits_BNM = torch.matmul(queries_BNC, keys_BMC.transpose(1, 2)) * scale
    return torch.softmax(logits_BNM if bias_B1M is None else logits_BNM + bias_B1M, dim=-1)


def softmax_rows(queries_BQC: Tensor, keys_BMC: Tensor, *, scale: float, key_mask: Tensor | None) -> Tensor:
    """(B, Q, M): the softmax weights of the asked positions; where no key is kept they are those of zeros."""
    keys_BMC = zero_masked(keys_BMC, key_mask)
    bias_B1M = logit_bias(key_mask, dtype=keys_BMC.dtype)
    return softmax_weights(queries_BQC, keys_BMC, scale=scale, bias_B1M=bias_B1M)


def _softmax_weighted_sum(
    queries: tuple[str, Tensor], keys: tuple[str, Tensor], g_BMD: Tensor, *, scale: float, key_mask: Tensor | None
) -> Tensor:
    check_operands(queries, keys, g_BMD, key_mask=key_mask)
    check_scale(scale)
    queries_BNC, keys_BMC, scale = queries[1], keys[1], float(scale)
    dtype = result_dtype(queries_BNC, keys_BMC, g_BMD)
    with without_autocast(g_BMD):
        form = choose(SOFTMAX, case_of(queries_BNC, g_BMD, dtype=dtype, masked=key_mask is not None)).form
        half = form in ("cudnn", "flash", "chunks")
        operand_dtype = dtype if half else sum_dtype(dtype)
        queries_BNC, keys_BMC, g_BMD = in_dtype(operand_dtype, queries_BNC, keys_BMC, g_BMD)
        keys_BMC, g_BMD = zero_masked(keys_BMC, key_mask), zero_masked(g_BMD, key_mask)
        bias_B1M = logit_bias(key_mask, dtype=sum_dtype(dtype))
        if form == "cudnn" or form == "flash" or form == "chunks":
            return fused_softmax_sum(queries_BNC, keys_BMC, g_BMD, bias_B1M, scale, kernel=form)
        if form == "matrix":
            weights_BNM = softmax_weights(queries_BNC, keys_BMC, scale=scale, bias_B1M=bias_B1M)
            return torch.matmul(weights_BNM, g_BMD).to(dtype)
        if form == "flash on a CPU":
            return flash_softmax_sum(queries_BNC, keys_BMC, g_BMD, bias_B1M, scale).to(dtype)
        return softmax_sum(queries_BNC, keys_BMC, g_BMD, bias_B1M, scale)[0].to(dtype)
