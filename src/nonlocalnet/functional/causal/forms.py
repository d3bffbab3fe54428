"""The causal form of each pairwise function, normalised: theta, phi, g (B, N, C), (B, M, C), (B, M, D) to (B, N, D).

The operands were checked and are in the dtype of the sum; `seen_N` (N,) int64 grows, from 0 to M.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nonlocalnet.functional.causal.products import prefix_products
from nonlocalnet.functional.causal.relu_sums import prefix_relu_sum
from nonlocalnet.functional.causal.softmax import prefix_softmax
from nonlocalnet.functional.masking import zero_masked
from nonlocalnet.functional.relu_form import project


def causal_softmax(
    theta_BNC: Tensor, phi_BMC: Tensor, g_BMD: Tensor, *, scale: float, key_mask: Tensor | None, seen_N: Tensor
) -> Tensor:
    """The Gaussian forms: a softmax over the kept keys that were seen; blocks of queries."""
    phi_BMC, g_BMD = zero_masked(phi_BMC, key_mask), zero_masked(g_BMD, key_mask)
    return prefix_softmax(theta_BNC, phi_BMC, g_BMD, key_mask, seen_N, scale)


def causal_product(
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    *,
    key_mask: Tensor | None,
    seen_N: Tensor,
    past: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Dot product, divided by how many kept keys were seen; a running total of phi^T g.

    `past`: phi^T g (B, C, D) of keys before these, which all queries have seen, and their number (B or 1, 1, 1).
    """
    phi_BMC, g_BMD = zero_masked(phi_BMC, key_mask), zero_masked(g_BMD, key_mask)
    y_BND = prefix_products(theta_BNC, phi_BMC, g_BMD, seen_N)
    if past is None:
        return y_BND / counted(g_BMD, key_mask, seen_N)
    product_BCD, number_B11 = past
    count_BN1 = number_B11 + kept_so_far(key_mask, seen_N)
    y_BND = torch.bmm(theta_BNC, product_BCD.to(theta_BNC.dtype)) + y_BND
    return y_BND / count_BN1.clamp_min(1).to(g_BMD.dtype)


def causal_relu(
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    w_f: Tensor,
    *,
    key_mask: Tensor | None,
    seen_N: Tensor,
) -> Tensor:
    """Concatenation, divided by how many kept keys were seen; sorted blocks of every power of two."""
    phi_BMC, g_BMD = zero_masked(phi_BMC, key_mask), zero_masked(g_BMD, key_mask)
    a_BN, b_BM = project(theta_BNC, phi_BMC, w_f)
    return prefix_relu_sum(a_BN, b_BM, g_BMD, seen_N) / counted(g_BMD, key_mask, seen_N)


def counted(g_BMD: Tensor, key_mask: Tensor | None, seen_N: Tensor) -> Tensor:
    """(B or 1, N, 1) how many keys each query sums over, 1 where there are none: their sum is 0."""
    return kept_so_far(key_mask, seen_N).clamp_min(1).to(g_BMD.dtype)


def kept_so_far(key_mask: Tensor | None, seen_N: Tensor) -> Tensor:
    """(B or 1, N, 1) int64, how many kept keys each query has seen."""
    if key_mask is None:
        return seen_N.view(1, -1, 1)
    return F.pad(key_mask.long().cumsum(dim=1), (1, 0))[:, seen_N].unsqueeze(2)
