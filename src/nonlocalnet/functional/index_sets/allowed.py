"""The weights of asked positions over the keys that each of them is allowed: dense rows, for blocks of few keys."""

from __future__ import annotations

import torch
from torch import Tensor

from nonlocalnet.functional.pairwise import PairwiseFunction
from nonlocalnet.functional.softmax_form import softmax_weights


def allowed_rows(
    row: PairwiseFunction,
    theta_BQC: Tensor,
    phi_BMC: Tensor,
    allowed_BQM: Tensor,
    *,
    w_f: Tensor | None,
    scale: float,
) -> Tensor:
    """The weights f / C_i over the allowed keys, (B, Q, M); 0 at the others, and where a position is allowed none.

    Args:
        row: The pairwise function.
        theta_BQC: (B, Q, C), in the dtype of the sum.
        phi_BMC: (B, M, C), finite everywhere: left-out keys hold zeros.
        allowed_BQM: (B or 1, Q, M) bool.
        w_f: (2C,), for "concatenation" only.
        scale: Factor of the logits, for the Gaussian forms only.
    """
    if row.is_softmax:
        # Where nothing is allowed no logit is left out, or all weights would be NaN; they become 0 below.
        left_out = ~allowed_BQM & allowed_BQM.any(dim=2, keepdim=True)
        bias_BQM = torch.zeros(left_out.shape, dtype=phi_BMC.dtype, device=phi_BMC.device)
        bias_BQM.masked_fill_(left_out, float("-inf"))
        weights_BQM = softmax_weights(theta_BQC, phi_BMC, scale=scale, bias_B1M=bias_BQM)
    else:
        per_key = phi_BMC.shape[1] / allowed_BQM.sum(dim=2, keepdim=True).clamp_min(1).to(phi_BMC.dtype)
        weights_BQM = row.rows(theta_BQC, phi_BMC, w_f=w_f, scale=scale) * per_key
    return weights_BQM.masked_fill(~allowed_BQM, 0.0)
