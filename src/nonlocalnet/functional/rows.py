"""The weights themselves, for the asked output positions only: what a figure of the operation shows."""

import torch
from torch import Tensor

from nonlocalnet.functional.checks import check_key_mask, check_queries_and_keys, check_scale
from nonlocalnet.functional.index_sets.allowed import allowed_rows
from nonlocalnet.functional.masking import zero_masked
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
    seen_Q: Tensor | None = None,
    allowed: Tensor | None = None,
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
        allowed: (B or 1, Q or 1, M) bool, False where an asked position does not look; counted as `key_mask` is.

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
        if seen_Q is None and allowed is None:
            weights_BQM = row.rows(theta_BQC, phi_BMC, w_f=w_f, scale=scale, key_mask=key_mask)
            return (weights_BQM if key_mask is None else weights_BQM.masked_fill(~key_mask.unsqueeze(1), 0.0)).to(dtype)
        row.check_options(phi_BMC, w_f=w_f, scale=scale)
        allowed_BQM = _allowed(theta_BQC, phi_BMC, key_mask, seen_Q, allowed)
        phi_BMC = zero_masked(phi_BMC, allowed_BQM.any(dim=1))
        return allowed_rows(row, theta_BQC, phi_BMC, allowed_BQM, w_f=w_f, scale=scale).to(dtype)


def _allowed(
    theta_BQC: Tensor, phi_BMC: Tensor, key_mask: Tensor | None, seen_Q: Tensor | None, allowed: Tensor | None
) -> Tensor:
    """(B or 1, Q or 1, M) bool: what all three let through."""
    batch, keys = phi_BMC.shape[:2]
    together = torch.ones(1, 1, keys, dtype=torch.bool, device=phi_BMC.device)
    if seen_Q is not None:
        together = together & (torch.arange(keys, device=phi_BMC.device) < seen_Q[:, None])
    if key_mask is not None:
        together = together & key_mask.unsqueeze(1)
    if allowed is not None:
        expected = ((1, batch), (1, theta_BQC.shape[1]), (keys,))
        fits = allowed.dim() == 3 and all(size in may for size, may in zip(allowed.shape, expected, strict=True))
        if allowed.dtype != torch.bool or not fits:
            given = f"{tuple(allowed.shape)} {allowed.dtype}"
            raise ValueError(f"allowed must be (B or 1, Q or 1, M) bool beside phi {tuple(phi_BMC.shape)}; got {given}")
        together = together & allowed
    return together
