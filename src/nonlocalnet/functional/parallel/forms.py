"""Each pairwise function over the keys of all processes: (B, N, C), (B, M, C), (B, M, D) of this one to (B, N, D).

The operands were checked; `seen_N` (N,) int64 says how many of this process's keys each query sums over, beside all of
the processes before it; None for all keys of all processes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nonlocalnet.functional.causal.forms import causal_product, causal_relu, causal_softmax
from nonlocalnet.functional.masking import zero_masked
from nonlocalnet.functional.parallel.parts import Parts
from nonlocalnet.functional.parallel.ring import ring_softmax
from nonlocalnet.functional.precision import in_dtype, result_dtype, sum_dtype
from nonlocalnet.functional.relu_form import concatenation, project
from nonlocalnet.functional.softmax_form import embedded_gaussian


def parallel_softmax(
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    *,
    scale: float,
    key_mask: Tensor | None,
    seen_N: Tensor | None,
    parts: Parts,
) -> Tensor:
    """The Gaussian forms: keys and values gathered on every process, or passed round."""
    if parts.parallel.ring:
        theta_BNC, phi_BMC, g_BMD = _wide(theta_BNC, phi_BMC, g_BMD)
        mask = parts.mask(key_mask, phi_BMC)
        phi_BMC, g_BMD = zero_masked(phi_BMC, mask), zero_masked(g_BMD, mask)
        return ring_softmax(theta_BNC, phi_BMC, g_BMD, mask, seen_N, scale, parts)
    phi_BMC, g_BMD, mask = *parts.gathered(phi_BMC, g_BMD), parts.gathered_mask(key_mask, phi_BMC)
    if seen_N is None:
        return embedded_gaussian(theta_BNC, phi_BMC, g_BMD, scale=scale, key_mask=mask)
    theta_BNC, phi_BMC, g_BMD = _wide(theta_BNC, phi_BMC[:, : parts.until], g_BMD[:, : parts.until])
    mask = None if mask is None else mask[:, : parts.until]
    return causal_softmax(theta_BNC, phi_BMC, g_BMD, scale=scale, key_mask=mask, seen_N=seen_N + parts.before)


def parallel_product(
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    *,
    key_mask: Tensor | None,
    seen_N: Tensor | None,
    parts: Parts,
) -> Tensor:
    """Dot product: phi^T g summed over the processes; where causal, over those before, beside this one's own."""
    theta_BNC, phi_BMC, g_BMD = _wide(theta_BNC, phi_BMC, g_BMD)
    phi_BMC, g_BMD = zero_masked(phi_BMC, key_mask), zero_masked(g_BMD, key_mask)
    state_BCD = torch.bmm(phi_BMC.mT, g_BMD)
    if seen_N is None:
        share_B11 = parts.kept(key_mask, phi_BMC).clamp_min(1).to(g_BMD.dtype).reciprocal()
        return torch.bmm(theta_BNC, parts.sum(state_BCD) * share_B11)
    before = parts.sum_before(state_BCD.double()), parts.kept_before(key_mask, phi_BMC)
    return causal_product(theta_BNC, phi_BMC, g_BMD, key_mask=key_mask, seen_N=seen_N, past=before)


def parallel_relu(
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    w_f: Tensor,
    *,
    key_mask: Tensor | None,
    seen_N: Tensor | None,
    parts: Parts,
) -> Tensor:
    """Concatenation: b and g gathered on every process. With one channel, a, b and weights of 1 it is what it was."""
    theta_BNC, phi_BMC, g_BMD = _wide(theta_BNC, phi_BMC, g_BMD)
    phi_BMC, g_BMD = zero_masked(phi_BMC, key_mask), zero_masked(g_BMD, key_mask)
    a_BN, b_BM = project(theta_BNC, phi_BMC, w_f)
    a_BN1, ones = a_BN.unsqueeze(2), a_BN.new_ones(2)
    (b_BM1, g_BMD), mask = parts.gathered(b_BM.unsqueeze(2), g_BMD), parts.gathered_mask(key_mask, phi_BMC)
    if seen_N is None:
        return concatenation(a_BN1, b_BM1, g_BMD, ones, key_mask=mask)
    until = parts.until
    mask = None if mask is None else mask[:, :until]
    seen_N = seen_N + parts.before
    return causal_relu(a_BN1, b_BM1[:, :until], g_BMD[:, :until], ones, key_mask=mask, seen_N=seen_N)


def _wide(*operands: Tensor) -> tuple[Tensor, ...]:
    """The operands in the dtype of the sum."""
    return in_dtype(sum_dtype(result_dtype(*operands)), *operands)
