"""Equation 1 over what came before, for any of the pairwise functions."""

from __future__ import annotations

from torch import Tensor

from nonlocalnet.functional.checks import checked_seen
from nonlocalnet.functional.pairwise import Pairwise, row_of
from nonlocalnet.functional.precision import in_dtype, result_dtype, sum_dtype, without_autocast


def causal_sum(
    pairwise: Pairwise,
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    *,
    seen_N: Tensor | None = None,
    w_f: Tensor | None = None,
    scale: float = 1.0,
    key_mask: Tensor | None = None,
) -> Tensor:
    """y_i = 1 / C_i sum_{j < seen_i} f(x_i, x_j) g_j: equations 1 to 5 with the sum cut off at what has been seen.

    C_i is the sum of the same weights for the Gaussian forms, and the number of keys that were seen and kept for the
    others. The paper has no causal form; this is the operation for sequences that are read in order.

    Exact, without the N x M matrix: the Gaussian forms in blocks of queries (time grows with N M / 2), dot product by a
    running total of phi^T g (linear), concatenation by sorted blocks of every power of two (N log^2 N).

    Args:
        pairwise: One of `PAIRWISE`.
        theta_BNC: (B, N, C), x for "gaussian".
        phi_BMC: (B, M, C), x, pooled or not, for "gaussian".
        g_BMD: (B, M, D).
        seen_N: (N,) int64, how many of the first keys each query sums over, from 0 to M and never less than before;
            None for i + 1: the position itself and all before it.
        w_f: (2C,), for "concatenation" only.
        scale: Factor of the logits, for the Gaussian forms only.
        key_mask: (B, M) bool; keys with False are left out, and do not count.

    Returns:
        y, (B, N, D), in the operands' dtype; 0 where nothing is seen. float16 and bfloat16 are summed in float32.

    Raises:
        ValueError: As the function of that name; `seen_N` of the wrong shape, dtype or range, or decreasing; N and M
            differ without it.

    >>> import torch
    >>> x = torch.ones(1, 3, 2)
    >>> causal_sum("dot_product", x, x, torch.tensor([[[1.0], [3.0], [8.0]]]))[0, :, 0].tolist()
    [2.0, 4.0, 8.0]
    """
    row = row_of(pairwise)
    row.check(theta_BNC, phi_BMC, g_BMD, w_f=w_f, scale=scale, key_mask=key_mask)
    seen_N = checked_seen(seen_N, theta_BNC.shape[1], phi_BMC.shape[1], theta_BNC.device)
    dtype = result_dtype(theta_BNC, phi_BMC, g_BMD)
    with without_autocast(g_BMD):
        theta_BNC, phi_BMC, g_BMD = in_dtype(sum_dtype(dtype), theta_BNC, phi_BMC, g_BMD)
        own = row.own_options(w_f, scale)
        return row.causal(theta_BNC, phi_BMC, g_BMD, **own, key_mask=key_mask, seen_N=seen_N).to(dtype)
