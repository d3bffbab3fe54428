"""Equation 1 over a sequence of which each process holds a part, for any of the pairwise functions."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from nonlocalnet.functional.checks import check_operands, check_scale, checked_seen
from nonlocalnet.functional.differentiable import wants_gradient
from nonlocalnet.functional.pairwise import Pairwise, PairwiseFunction, row_of
from nonlocalnet.functional.parallel.parts import Parts
from nonlocalnet.functional.parallel.processes import SequenceParallel, agree, as_sequence_parallel
from nonlocalnet.functional.precision import result_dtype, without_autocast


def parallel_sum(
    pairwise: Pairwise,
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    *,
    sequence_parallel: dist.ProcessGroup | SequenceParallel,
    causal: bool = False,
    seen_N: Tensor | None = None,
    w_f: Tensor | None = None,
    scale: float = 1.0,
    key_mask: Tensor | None = None,
) -> Tensor:
    """Equation 1 for this process's positions, summed over the keys of all processes, or of those before where causal.

    Equal to one process with all parts, one after the other in order of rank, but for the order of additions. Every
    process of the group calls this, and goes through the backward pass if one does. Gradients of the operands are
    exact; those of what the processes share (`w_f`, weights that made the operands) are to be summed over the group.

    Dot product sends C x D numbers, concatenation M (D + 1) and the Gaussian forms M (C + D) a batch element, to every
    process; `SequenceParallel(group, ring=True)` has the last in pieces.

    Args:
        pairwise: One of `PAIRWISE`.
        theta_BNC: (B, N, C), this process's; x for "gaussian". N may differ from process to process.
        phi_BMC: (B, M, C), this process's; x, pooled or not, for "gaussian". M may be 0, not on all.
        g_BMD: (B, M, D).
        sequence_parallel: The group, or a `SequenceParallel`.
        causal: Whether only what came before counts.
        seen_N: With `causal`: (N,) int64, how many of this process's keys each query has seen, beside all those of the
            processes before; None for i + 1.
        w_f: (2C,), for "concatenation" only; the same on all processes.
        scale: Factor of the logits, for the Gaussian forms only.
        key_mask: (B, M) bool; keys with False are left out, and do not count.

    Returns:
        y, (B, N, D), in the operands' dtype; 0 where nothing is summed. float16 and bfloat16 are summed in float32.

    Raises:
        ValueError: As `causal_sum` and the function of that name, on every process where it is on one; the processes
            differ in what they must share; `ring` with a function that has no softmax.
    """
    parallel = as_sequence_parallel(sequence_parallel)
    row, error, own = None, None, {}
    try:
        row = row_of(pairwise)
        seen_N = _checked(row, parallel, (theta_BNC, phi_BMC, g_BMD), causal, seen_N, w_f, scale, key_mask)
        own = {
            "keys": phi_BMC.shape[1],
            "masked": key_mask is not None,
            "learns": wants_gradient(theta_BNC, phi_BMC, g_BMD),
        }
    except ValueError as caught:
        error = caught
    alike = {"pairwise": str(pairwise), "ring": parallel.ring, "causal": causal, "scale": str(scale)}
    if error is None:
        alike["batch size, C and D"] = (*theta_BNC.shape[::2], phi_BMC.shape[2], g_BMD.shape[2])
        alike["dtypes"] = (str(phi_BMC.dtype), str(g_BMD.dtype))
        alike["gradient mode"] = torch.is_grad_enabled()
    told = agree(parallel, own, alike=alike, error=error)
    assert row is not None
    parts = Parts(parallel, tuple(said["keys"] for said in told), any(said["masked"] for said in told))
    if sum(parts.keys) == 0:
        raise ValueError("phi must have at least one position to sum over on one of the processes; got none on any")
    learns = any(said["learns"] for said in told)
    return sum_over_parts(
        row, theta_BNC, phi_BMC, g_BMD, parts, seen_N=seen_N, key_mask=key_mask, learns=learns, w_f=w_f, scale=scale
    )


def sum_over_parts(
    row: PairwiseFunction,
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    parts: Parts,
    *,
    seen_N: Tensor | None,
    key_mask: Tensor | None,
    learns: bool,
    w_f: Tensor | None = None,
    scale: float = 1.0,
) -> Tensor:
    """`parallel_sum` of operands on which the processes have agreed; `learns`: whether any of them wants a gradient."""
    if learns:
        # A process without a gradient of its own would leave the others alone in the backward pass.
        phi_BMC, g_BMD = (one if one.requires_grad else one.detach().requires_grad_() for one in (phi_BMC, g_BMD))
    dtype = result_dtype(theta_BNC, phi_BMC, g_BMD)
    with without_autocast(g_BMD):
        own = row.own_options(w_f, scale)
        y_BND = row.parallel(theta_BNC, phi_BMC, g_BMD, **own, key_mask=key_mask, seen_N=seen_N, parts=parts)
        return y_BND.to(dtype)


def _checked(
    row: PairwiseFunction,
    parallel: SequenceParallel,
    operands: tuple[Tensor, Tensor, Tensor],
    causal: bool,
    seen_N: Tensor | None,
    w_f: Tensor | None,
    scale: float,
    key_mask: Tensor | None,
) -> Tensor | None:
    """Refuse what this process cannot sum; what each query has seen, None where not causal."""
    theta_BNC, phi_BMC, g_BMD = operands
    if phi_BMC.dim() != 3 or phi_BMC.shape[1] > 0:
        check_operands(("theta", theta_BNC), ("phi", phi_BMC), g_BMD, key_mask=key_mask)
    check_scale(scale)
    row.check_options(phi_BMC, w_f=w_f, scale=scale)
    check_ring(parallel, row)
    if causal:
        return checked_seen(seen_N, theta_BNC.shape[1], phi_BMC.shape[1], theta_BNC.device)
    if seen_N is not None:
        raise ValueError("seen_N belongs to causal=True; got it without")
    return None


def check_ring(parallel: SequenceParallel, row: PairwiseFunction) -> None:
    """Refuse a ring where it would do nothing.

    Raises:
        ValueError: Naming the function.
    """
    if parallel.ring and not row.is_softmax:
        raise ValueError(
            f"ring=True passes the keys of a softmax round; pairwise={row.name!r} has none: leave it out, since what "
            "it sends is small (dot_product) or needed whole (concatenation)"
        )
