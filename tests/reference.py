"""Equations 1 to 5 of the paper, written out as loops over plain Python numbers (float64): the tests' oracle.

Nothing here is shared with the library. Shape legend: B batch, N output positions i, M summed positions j, C channels
of theta and phi, D channels of g. Positions whose `key_mask` (B, M) is False are skipped by the loop over j; where
none is left the sum is 0 (our own definition: the paper has no masks).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Vector = list[float]
PairwiseFunction = Callable[[Vector, Vector], float]


def gaussian(
    x_BNC: Tensor, keys_BMC: Tensor, g_BMD: Tensor, *, scale: float = 1.0, key_mask: Tensor | None = None
) -> Tensor:
    """Equation 2: f = exp(x_i . x_j), C(x) = sum_j f."""
    return _operation(lambda x_i, x_j: math.exp(scale * _dot(x_i, x_j)), "sum", x_BNC, keys_BMC, g_BMD, key_mask)


def embedded_gaussian(
    theta_BNC: Tensor, phi_BMC: Tensor, g_BMD: Tensor, *, scale: float = 1.0, key_mask: Tensor | None = None
) -> Tensor:
    """Equation 3: f = exp(theta(x_i) . phi(x_j)), C(x) = sum_j f."""
    return _operation(
        lambda theta_i, phi_j: math.exp(scale * _dot(theta_i, phi_j)), "sum", theta_BNC, phi_BMC, g_BMD, key_mask
    )


def dot_product(theta_BNC: Tensor, phi_BMC: Tensor, g_BMD: Tensor, *, key_mask: Tensor | None = None) -> Tensor:
    """Equation 4: f = theta(x_i) . phi(x_j), C(x) = the number of positions j."""
    return _operation(_dot, "count", theta_BNC, phi_BMC, g_BMD, key_mask)


def concatenation(
    theta_BNC: Tensor, phi_BMC: Tensor, g_BMD: Tensor, w_f: Tensor, *, key_mask: Tensor | None = None
) -> Tensor:
    """Equation 5: f = ReLU(w_f . [theta(x_i), phi(x_j)]), C(x) = the number of positions j."""
    weights = w_f.double().tolist()
    return _operation(
        lambda theta_i, phi_j: max(0.0, _dot(weights, theta_i + phi_j)), "count", theta_BNC, phi_BMC, g_BMD, key_mask
    )


def affinity(
    pairwise: str,
    theta_BQC: Tensor,
    phi_BMC: Tensor,
    *,
    w_f: Tensor | None = None,
    scale: float = 1.0,
    key_mask: Tensor | None = None,
) -> Tensor:
    """f(x_i, x_j) / C(x), (B, Q, M): the operation on g = one-hot rows, whose sum over j keeps every term apart."""
    batch, keys, _ = phi_BMC.shape
    one_hot = torch.eye(keys, dtype=torch.float64).expand(batch, keys, keys)
    if pairwise == "gaussian":
        return gaussian(theta_BQC, phi_BMC, one_hot, scale=scale, key_mask=key_mask)
    if pairwise == "embedded_gaussian":
        return embedded_gaussian(theta_BQC, phi_BMC, one_hot, scale=scale, key_mask=key_mask)
    if pairwise == "dot_product":
        return dot_product(theta_BQC, phi_BMC, one_hot, key_mask=key_mask)
    assert pairwise == "concatenation"
    assert w_f is not None
    return concatenation(theta_BQC, phi_BMC, one_hot, w_f, key_mask=key_mask)


def _operation(
    f: PairwiseFunction, normaliser: str, rows_BNC: Tensor, keys_BMC: Tensor, g_BMD: Tensor, key_mask: Tensor | None
) -> Tensor:
    """Equation 1: y_i = 1 / C(x) sum_j f(x_i, x_j) g(x_j)."""
    batch, keys, channels = g_BMD.shape
    rows, others, values = rows_BNC.double().tolist(), keys_BMC.double().tolist(), g_BMD.double().tolist()
    result = torch.zeros(batch, rows_BNC.shape[1], channels, dtype=torch.float64)
    for b in range(batch):
        summed = [j for j in range(keys) if key_mask is None or bool(key_mask[b, j])]
        for i in range(rows_BNC.shape[1]):
            total, terms = 0.0, [0.0] * channels
            for j in summed:
                weight = f(rows[b][i], others[b][j])
                total += weight if normaliser == "sum" else 1.0
                for d in range(channels):
                    terms[d] += weight * values[b][j][d]
            for d in range(channels):
                result[b, i, d] = terms[d] / total if summed else 0.0
    return result


def _dot(one: Vector, other: Vector) -> float:
    return sum(p * q for p, q in zip(one, other, strict=True))
