"""The weights themselves, for the asked output positions only: what a figure of the operation shows."""

import torch
from torch import Tensor

from nonlocalnet.functional.causal.forms import counted
from nonlocalnet.functional.checks import check_key_mask, check_queries_and_keys, check_scale
from nonlocalnet.functional.masking import zero_masked
from nonlocalnet.functional.pairwise import Pairwise, PairwiseFunction, row_of
from nonlocalnet.functional.precision import result_dtype, sum_dtype, without_autocast
from nonlocalnet.functional.softmax_form import softmax_weights


def affinity(
    pairwise: Pairwise,
    theta_BQC: Tensor,
    phi_BMC: Tensor,
    *,
    w_f: Tensor | None = None,
    scale: float = 1.0,
    key_mask: Tensor | None = None,
    seen_Q: Tensor | None = None,
) -> Tensor:
    """The normalised weights f(i, j) / C(x) of equation 1 for Q asked positions: y_i = sum_j weights_ij g_j.

    They are a softmax row for the Gaussian forms (non-negative, summing to 1), (theta_i . phi_j) / M for the dot
    product (of either sign) and ReLU(w_f . [theta_i, phi_j]) / M for concatenation (non-negative), M being the
    number of positions really summed. Memory is Q x M: ask for the positions to be looked at, not for all.

    Args:
        pairwise: one of `PAIRWISE`.
        theta_BQC: the asked positions' rows of theta (of x for "gaussian"), (B, Q, C).
        phi_BMC: the summed positions' embedding (x, or x subsampled, for "gaussian"), (B, M, C).
        w_f: (2C,), for "concatenation" only.
        scale: factor of the logits, for the Gaussian forms only.
        key_mask: (B, M) bool; the weight of a left-out position is 0, and so is every weight where none is kept.
        seen_Q: (Q,) int64, how many of the first keys each asked position sums over, as in `causal_sum`; None for all.

    Returns:
        weights, (B, Q, M), in the operands' dtype.

    Raises:
        ValueError: for an unknown name, wrong shapes, dtypes or devices, M = 0, `w_f` missing for concatenation or
            given to another form, and a scale given to a form that has none.
    """
    row = row_of(pairwise)
    keys = ("phi", phi_BMC)
    check_queries_and_keys(("theta", theta_BQC), keys)
    check_key_mask(keys, key_mask)
    check_scale(scale)
    dtype = result_dtype(theta_BQC, phi_BMC)
    with without_autocast(phi_BMC):
        theta_BQC, phi_BMC = (rows.to(sum_dtype(dtype)) for rows in (theta_BQC, phi_BMC))
        if seen_Q is not None:
            row.check_options(phi_BMC, w_f=w_f, scale=scale)
            return _causal_rows(row, theta_BQC, phi_BMC, w_f, scale, key_mask, seen_Q).to(dtype)
        weights_BQM = row.rows(theta_BQC, phi_BMC, w_f=w_f, scale=scale, key_mask=key_mask)
        if key_mask is not None:
            weights_BQM = weights_BQM.masked_fill(~key_mask.unsqueeze(1), 0.0)
        return weights_BQM.to(dtype)


def _causal_rows(
    row: PairwiseFunction,
    theta_BQC: Tensor,
    phi_BMC: Tensor,
    w_f: Tensor | None,
    scale: float,
    key_mask: Tensor | None,
    seen_Q: Tensor,
) -> Tensor:
    phi_BMC = zero_masked(phi_BMC, key_mask)
    keys = phi_BMC.shape[1]
    allowed_BQM = (torch.arange(keys, device=phi_BMC.device) < seen_Q[:, None]).unsqueeze(0)
    if key_mask is not None:
        allowed_BQM = allowed_BQM & key_mask.unsqueeze(1)
    if row.is_softmax:
        # Where nothing is allowed no logit is left out, or all weights would be NaN; they become 0 below.
        left_out = ~allowed_BQM & allowed_BQM.any(dim=2, keepdim=True)
        bias_BQM = torch.zeros(left_out.shape, dtype=phi_BMC.dtype, device=phi_BMC.device)
        bias_BQM.masked_fill_(left_out, float("-inf"))
        weights_BQM = softmax_weights(theta_BQC, phi_BMC, scale=scale, bias_B1M=bias_BQM)
    else:
        per_key = keys / counted(phi_BMC, key_mask, seen_Q)
        weights_BQM = row.rows(theta_BQC, phi_BMC, w_f=w_f, scale=scale) * per_key
    return weights_BQM.masked_fill(~allowed_BQM, 0.0)
