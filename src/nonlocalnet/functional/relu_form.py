"""Concatenation: ReLU(w_f . [theta_i, phi_j]) = ReLU(a_i + b_j), a function of one number from each side.

Shape suffixes: B batch, N output positions, M summed positions, C and D channels.
"""

import torch
from torch import Tensor

from nonlocalnet.functional.algorithms import RELU, case_of, choose
from nonlocalnet.functional.checks import check_operands, check_w_f
from nonlocalnet.functional.masking import all_over_count, one_over_count, zero_masked
from nonlocalnet.functional.precision import in_dtype, is_exporting, result_dtype, sum_dtype, without_autocast
from nonlocalnet.functional.relu_half import concatenation_sum
from nonlocalnet.functional.relu_sums import relu_sum


def concatenation(
    theta_BNC: Tensor, phi_BMC: Tensor, g_BMD: Tensor, w_f: Tensor, *, key_mask: Tensor | None = None
) -> Tensor:
    """Equations 1 and 5: y_i = sum_j ReLU(w_f . [theta_i, phi_j]) g_j / M, M the number of positions really summed.

    With a_i = w_f[:C] . theta_i and b_j = w_f[C:] . phi_j the sum runs over the j with b_j > -a_i: after one sort of
    b it is two prefix sums, read where a binary search for -a_i ends. No N x M matrix is held, in any derivative,
    unless it is smaller than g and y together (few positions, as in a time-only block): then it costs less.

    Args:
        theta_BNC: the output positions' embedding, (B, N, C).
        phi_BMC: the summed positions' embedding, (B, M, C).
        g_BMD: what is summed, (B, M, D).
        w_f: (2C,), theta's half first; no bias, as in the paper.
        key_mask: (B, M) bool; positions with False are left out of the sum and of M. Where a batch element keeps
            none its result is 0, with gradient 0.

    Returns:
        y, (B, N, D), in the operands' dtype. float16 and bfloat16 operands are accumulated in float32. Where
        a_i = -b_j exactly the derivative is torch.relu's at 0, which is 0.

    Raises:
        ValueError: for wrong shapes, dtypes or devices, and where there is nothing to sum over (M = 0).
    """
    check_operands(("theta", theta_BNC), ("phi", phi_BMC), g_BMD, key_mask=key_mask)
    check_w_f(("phi", phi_BMC), w_f)
    dtype = result_dtype(theta_BNC, phi_BMC, g_BMD)
    with without_autocast(g_BMD):
        form = choose(RELU, case_of(theta_BNC, g_BMD, dtype=dtype, masked=key_mask is not None)).form
        fused = form == "fused"
        theta_BNC, phi_BMC, g_BMD = in_dtype(dtype if fused else sum_dtype(dtype), theta_BNC, phi_BMC, g_BMD)
        phi_BMC, g_BMD = zero_masked(phi_BMC, key_mask), zero_masked(g_BMD, key_mask)
        if fused:
            ratio_B1 = None if key_mask is None else all_over_count(key_mask)
            return concatenation_sum(theta_BNC, phi_BMC, g_BMD, w_f, ratio_B1)
        a_BN, b_BM = project(theta_BNC, phi_BMC, w_f)
        share_B11 = one_over_count(phi_BMC, key_mask)
        if form == "matrix":
            weights_BNM = torch.relu(a_BN.unsqueeze(2) + b_BM.unsqueeze(1)) * share_B11
            return torch.matmul(weights_BNM, g_BMD).to(dtype)
        return (relu_sum(a_BN, b_BM, g_BMD) * share_B11).to(dtype)


def project(theta_BNC: Tensor, phi_BMC: Tensor, w_f: Tensor) -> tuple[Tensor, Tensor]:
    """What each side adds to the argument of the ReLU: a (B, N) and b (B, M)."""
    channels, w_f = theta_BNC.shape[2], w_f.to(theta_BNC.dtype)
    if is_exporting():
        # onnxruntime (1.32) joins a transposition and a product with a vector into one product, which it gets wrong.
        w_theta, w_phi = w_f[:channels].unsqueeze(1), w_f[channels:].unsqueeze(1)
        return torch.matmul(theta_BNC, w_theta).squeeze(2), torch.matmul(phi_BMC, w_phi).squeeze(2)
    return torch.matmul(theta_BNC, w_f[:channels]), torch.matmul(phi_BMC, w_f[channels:])


def relu_rows(theta_BQC: Tensor, phi_BMC: Tensor, *, w_f: Tensor, key_mask: Tensor | None) -> Tensor:
    """(B, Q, M): ReLU(w_f . [theta_i, phi_j]) / M for the asked positions; left-out keys count as 0."""
    phi_BMC = zero_masked(phi_BMC, key_mask)
    a_BQ, b_BM = project(theta_BQC, phi_BMC, w_f)
    return torch.relu(a_BQ.unsqueeze(2) + b_BM.unsqueeze(1)) * one_over_count(phi_BMC, key_mask)
