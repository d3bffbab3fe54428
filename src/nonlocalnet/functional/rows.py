"""The weights themselves, for the asked output positions only: what a figure of the operation shows."""

from torch import Tensor

from nonlocalnet.functional.checks import check_key_mask, check_queries_and_keys, check_scale
from nonlocalnet.functional.pairwise import Pairwise, row_of
from nonlocalnet.functional.precision import result_dtype, sum_dtype, without_autocast


def affinity(
    pairwise: Pairwise,
    theta_BQC: Tensor,
    phi_BMC: Tensor,
    *,
    w_f: Tensor | None = None,
    scale: float = 1.0,
    key_mask: Tensor | None = None,
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
        weights_BQM = row.rows(theta_BQC, phi_BMC, w_f=w_f, scale=scale, key_mask=key_mask)
        if key_mask is not None:
            weights_BQM = weights_BQM.masked_fill(~key_mask.unsqueeze(1), 0.0)
        return weights_BQM.to(dtype)
