"""Dot product: the normaliser is the number of positions summed, so the products may be taken in either order.

Shape suffixes: B batch, N output positions, M summed positions, C and D channels.
"""

import torch
from torch import Tensor

from nonlocalnet.functional.algorithms import PRODUCT, case_of, choose
from nonlocalnet.functional.checks import check_operands
from nonlocalnet.functional.masking import one_over_count, zero_masked
from nonlocalnet.functional.precision import in_dtype, result_dtype, sum_dtype, without_autocast
from nonlocalnet.functional.product_half import product_sum


def dot_product(theta_BNC: Tensor, phi_BMC: Tensor, g_BMD: Tensor, *, key_mask: Tensor | None = None) -> Tensor:
    """Equations 1 and 4: y_i = sum_j (theta_i . phi_j) g_j / M, with M the number of positions really summed.

    Taken as theta (phi^T g) / M, which costs (N + M) C D products and holds no N x M matrix. Where N or M is so
    small that (theta phi^T) g / M costs less, its N x M matrix has fewer than (N + M) min(C, D) elements: smaller
    than the operands.

    Args:
        theta_BNC: the output positions' embedding, (B, N, C).
        phi_BMC: the summed positions' embedding, (B, M, C).
        g_BMD: what is summed, (B, M, D).
        key_mask: (B, M) bool; positions with False are left out of the sum and of M. Where a batch element keeps
            none its result is 0, with gradient 0.

    Returns:
        y, (B, N, D), in the operands' dtype. float16 and bfloat16 operands are accumulated in float32.

    Raises:
        ValueError: for wrong shapes, dtypes or devices, and where there is nothing to sum over (M = 0).
    """
    check_operands(("theta", theta_BNC), ("phi", phi_BMC), g_BMD, key_mask=key_mask)
    dtype = result_dtype(theta_BNC, phi_BMC, g_BMD)
    with without_autocast(g_BMD):
        form = choose(PRODUCT, case_of(theta_BNC, g_BMD, dtype=dtype, masked=key_mask is not None)).form
        half = form.startswith("half")
        theta_BNC, phi_BMC, g_BMD = in_dtype(dtype if half else sum_dtype(dtype), theta_BNC, phi_BMC, g_BMD)
        # Both sides: a NaN in a left-out row of one would meet the zeros of the other.
        phi_BMC, g_BMD = zero_masked(phi_BMC, key_mask), zero_masked(g_BMD, key_mask)
        if half:
            alpha, matrix = 1.0 / g_BMD.shape[1], form == "half, matrix"
            if key_mask is not None:  # another divisor for each batch element, a half of it for each factor
                alpha, root_B11 = 1.0, one_over_count(phi_BMC.float(), key_mask).sqrt().to(dtype)
                phi_BMC, g_BMD = phi_BMC * root_B11, g_BMD * root_B11
            return product_sum(theta_BNC, phi_BMC, g_BMD, alpha=alpha, matrix=matrix)
        share_B11 = one_over_count(phi_BMC, key_mask)
        if form == "matrix":
            return torch.bmm(torch.bmm(theta_BNC, phi_BMC.transpose(1, 2)) * share_B11, g_BMD).to(dtype)
        return torch.bmm(theta_BNC, torch.bmm(phi_BMC.transpose(1, 2), g_BMD) * share_B11).to(dtype)


def product_rows(theta_BQC: Tensor, phi_BMC: Tensor, *, key_mask: Tensor | None) -> Tensor:
    """(B, Q, M): theta_i . phi_j / M for the asked positions; the columns of left-out keys are 0."""
    phi_BMC = zero_masked(phi_BMC, key_mask)
    return torch.matmul(theta_BQC, phi_BMC.transpose(1, 2)) * one_over_count(phi_BMC, key_mask)
