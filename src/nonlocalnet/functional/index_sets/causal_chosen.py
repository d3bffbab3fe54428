"""The chosen positions of every beginning: position i sums over the k highest p among those that it has seen.

    queries     . . . . [ a block ] . . .
    candidates  the k highest before the block, and the keys that the block sees first: k + block, not k for each query

One product gives a block's weights over its candidates; each query takes those of its own choice. The backward pass
makes every block again. Which are chosen does not depend on tau, since p grows with u.
Shape suffixes: B batch, N queries, M keys; R queries of a block, K its candidates; C and D channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from nonlocalnet.functional.causal.prefixes import on_host
from nonlocalnet.functional.checks import checked_seen
from nonlocalnet.functional.differentiable import gradients
from nonlocalnet.functional.index_sets.allowed import allowed_rows
from nonlocalnet.functional.index_sets.prefix_sparsek import prefix_thresholds
from nonlocalnet.functional.index_sets.sparsek import check_fewer, check_k, check_scores, rankable
from nonlocalnet.functional.masking import zero_masked
from nonlocalnet.functional.pairwise import Pairwise, row_of
from nonlocalnet.functional.precision import in_dtype, result_dtype, sum_dtype, without_autocast

LEAST_BLOCK = 128


def causal_chosen_sum(
    pairwise: Pairwise,
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    u_BM: Tensor,
    *,
    k: int,
    fewer_B: Tensor | None = None,
    hard: bool = False,
    seen_N: Tensor | None = None,
    w_f: Tensor | None = None,
    scale: float = 1.0,
    key_mask: Tensor | None = None,
) -> Tensor:
    """`chosen_sum` over what came before: for each i, p is SparseK of the scores it has seen, of sum min(k, seen_i).

    The normaliser of dot product and concatenation is that number, too. N (k + block) weights; the k highest of a
    beginning are kept from block to block, so that nothing is gathered for a query alone. `torch.compile` leaves this
    function as it is.

    Args:
        pairwise: One of `PAIRWISE`.
        theta_BNC: (B, N, C), x for "gaussian".
        phi_BMC: (B, M, C), x for "gaussian".
        g_BMD: (B, M, D).
        u_BM: Scores, (B, M), below 1e9 in size: beyond, the doubles of a sum of k of them lose the digits of p.
        k: Positions that are chosen, at least 1; all that were seen where these are no more.
        fewer_B: As `chosen_sum` takes it.
        hard: p is 1 for the chosen, and the scores have no gradient: for scores that are not learned.
        seen_N: (N,) int64, how many of the first keys each query has seen, as in `causal_sum`; None for i + 1.
        w_f: (2C,), for "concatenation" only.
        scale: Factor of the logits, for the Gaussian forms only.
        key_mask: (B, M) bool; keys with False are never chosen.

    Returns:
        y, (B, N, D), in the operands' dtype; 0 where nothing is seen.

    Raises:
        ValueError: As `causal_sum`; u is not (B, M); k is less than 1.
    """
    row = row_of(pairwise)
    row.check(theta_BNC, phi_BMC, g_BMD, w_f=w_f, scale=scale, key_mask=key_mask)
    check_k(k)
    check_scores(u_BM, phi_BMC)
    check_fewer(fewer_B, len(u_BM), k)
    seen_N = checked_seen(seen_N, theta_BNC.shape[1], phi_BMC.shape[1], theta_BNC.device)
    dtype = result_dtype(theta_BNC, phi_BMC, g_BMD)
    with without_autocast(g_BMD):
        theta, phi, g, u = in_dtype(sum_dtype(dtype), theta_BNC, phi_BMC, g_BMD, u_BM)
        phi, g = zero_masked(phi, key_mask), zero_masked(g, key_mask)
        w_f = None if w_f is None else w_f.to(g.dtype)
        kept = torch.ones_like(u, dtype=torch.bool) if key_mask is None else key_mask
        rule = _Rule(pairwise, k, scale, hard)
        # Not as a decorator, which would import the compiler, as long an import as PyTorch's own.
        untraced: Any = torch.compiler.disable
        summed = untraced(_chosen_sum) if torch.compiler.is_compiling() else _chosen_sum
        return summed(rule, (seen_N, kept, fewer_B), theta, phi, g, u, w_f).to(dtype)


def _chosen_sum(
    rule: _Rule, reach: _Reach, theta: Tensor, phi: Tensor, g: Tensor, u: Tensor, w_f: Tensor | None
) -> Tensor:
    seen_N, kept, fewer_B = reach
    u = u.masked_fill(~kept, 0.0)  # padding may hold NaN
    if rule.hard:
        u, tau_BN = u.detach(), u.new_full((len(u), len(seen_N)), float("-inf"))
    else:
        tau_BN = prefix_thresholds(u, rule.k, kept, fewer_B=fewer_B)[:, seen_N]
    return _ChosenSums.apply(rule, *reach, theta, phi, g, u, tau_BN, w_f)


class _Rule(NamedTuple):
    """What is summed, in numbers."""

    pairwise: Pairwise
    k: int
    scale: float
    hard: bool


# seen (N,), kept (B, M) and fewer (B,): inputs of the Function one by one, since `torch.func` unwraps no others.
_Reach: TypeAlias = tuple[Tensor, Tensor, Tensor | None]


class _Plan(NamedTuple):
    """All that is no operand."""

    rule: _Rule
    seen: np.ndarray
    kept: Tensor
    fewer_B: Tensor | None

    @classmethod
    def of(cls, rule: _Rule, reach: _Reach) -> _Plan:
        seen_N, kept, fewer_B = reach
        return cls(rule, on_host(seen_N), kept, fewer_B)


class _Block(NamedTuple):
    """A block of queries, its candidates by number, highest score first, and which of them each query chooses."""

    rows: slice
    places_BK: Tensor
    chosen_BRK: Tensor


def _blocks(plan: _Plan, u_BM: Tensor) -> Iterator[_Block]:
    """The queries in order; `best`, the k highest of what came before, goes from block to block."""
    seen, k = plan.seen, plan.rule.k
    size = max(LEAST_BLOCK, k)
    k_of_B11 = k if plan.fewer_B is None else plan.fewer_B[:, None, None]
    scores = rankable(u_BM, plan.kept)
    best = torch.empty(len(u_BM), 0, dtype=torch.long, device=u_BM.device)
    taken, begin = 0, 0
    while begin < len(seen):
        best = _ranked(scores, best, taken, int(seen[begin]))[:, :k]
        taken = int(seen[begin])
        end = min(begin + size, int(np.searchsorted(seen, taken + size, side="right")), len(seen))
        places = _ranked(scores, best, taken, int(seen[end - 1]))
        allowed = places.unsqueeze(1) < torch.as_tensor(seen[begin:end], device=places.device)[:, None]
        allowed = allowed & plan.kept.gather(1, places).unsqueeze(1)
        yield _Block(slice(begin, end), places, allowed & (allowed.cumsum(dim=2) <= k_of_B11))
        begin = end


def _ranked(scores: Tensor, best: Tensor, begin: int, end: int) -> Tensor:
    """Some numbers and those from `begin` to `end`, the highest score first, ties by the lowest number."""
    fresh = torch.arange(begin, end, device=best.device).expand(len(best), -1)
    places = torch.cat([best, fresh], dim=1).sort(dim=1).values
    order = scores.gather(1, places).sort(dim=1, descending=True, stable=True).indices
    return places.gather(1, order)


class _Operands(NamedTuple):
    """What is differentiated: of all queries and keys, or of one block's."""

    theta: Tensor
    phi: Tensor
    g: Tensor
    u: Tensor
    tau: Tensor
    w_f: Tensor | None

    def of(self, block: _Block) -> _Operands:
        """Theta and tau of the block's queries; phi, g and u of its candidates."""
        phi, g, u = (_picked(keys, block.places_BK) for keys in (self.phi, self.g, self.u))
        return _Operands(self.theta[:, block.rows], phi, g, u, self.tau[:, block.rows], self.w_f)


def _picked(keys: Tensor, places_BK: Tensor) -> Tensor:
    """Rows (B, K, C) of (B, M, C), or numbers (B, K) of (B, M)."""
    return keys.gather(1, places_BK if keys.dim() == 2 else _wide(places_BK, keys))


def _wide(places_BK: Tensor, keys_BMC: Tensor) -> Tensor:
    return places_BK.unsqueeze(2).expand(-1, -1, keys_BMC.shape[2])


def _block_sum(
    plan: _Plan, block: _Block, theta: Tensor, phi: Tensor, g: Tensor, u: Tensor, tau: Tensor, w_f: Tensor | None
) -> Tensor:
    """Y of a block's queries, of the block's own operands."""
    rule = plan.rule
    weights_BRK = allowed_rows(row_of(rule.pairwise), theta, phi, block.chosen_BRK, w_f=w_f, scale=rule.scale)
    # Tau, a double, in two parts: far from 0 one float32 would round the differences off. Where p is neither 0 nor 1
    # the first difference is exact. In double the whole sum took 1.6 times as long.
    high_BR1 = tau.to(u.dtype).unsqueeze(2)
    low_BR1 = (tau.unsqueeze(2) - high_BR1).detach().nan_to_num(nan=0.0).to(u.dtype)
    over_BRK = u.unsqueeze(1) - high_BR1
    if bool((low_BR1.abs() > torch.finfo(torch.float32).eps).any()):
        over_BRK = over_BRK - low_BR1
    share_BRK = over_BRK.clamp(0.0, 1.0)
    return torch.bmm(weights_BRK * share_BRK, g)


def _summed(plan: _Plan, theta: Tensor, phi: Tensor, g: Tensor, u: Tensor, tau: Tensor, w_f: Tensor | None) -> Tensor:
    operands = _Operands(theta, phi, g, u, tau, w_f)
    parts = [_block_sum(plan, block, *operands.of(block)) for block in _blocks(plan, u)]
    return torch.cat(parts, dim=1) if parts else torch.zeros_like(theta[..., :1]).expand(-1, -1, g.shape[2])


class _ChosenSums(torch.autograd.Function):
    @staticmethod
    def forward(
        rule: _Rule,
        seen: Tensor,
        kept: Tensor,
        fewer: Tensor | None,
        theta: Tensor,
        phi: Tensor,
        g: Tensor,
        u: Tensor,
        tau: Tensor,
        w_f: Tensor | None,
    ) -> Tensor:
        return _summed(_Plan.of(rule, (seen, kept, fewer)), theta, phi, g, u, tau, w_f)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.rule = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        seen, kept, fewer, *saved = ctx.saved_tensors
        plan, operands, grad_y = _Plan.of(ctx.rule, (seen, kept, fewer)), _Operands(*saved), grad_outputs[0]
        if torch.is_grad_enabled():  # a second derivative will be asked for: the blocks' graphs are kept
            again = partial(_summed, plan)
            return None, None, None, None, *gradients(again, operands, grad_y, create_graph=True)
        asked = ctx.needs_input_grad[4:]
        grads = [
            torch.zeros_like(one) if one is not None and ask else None for one, ask in zip(operands, asked, strict=True)
        ]
        for block in _blocks(plan, operands.u):
            own = [
                None if one is None else one.detach().requires_grad_(ask)
                for one, ask in zip(operands.of(block), asked, strict=True)
            ]
            with torch.enable_grad():
                found = gradients(partial(_block_sum, plan, block), own, grad_y[:, block.rows], create_graph=False)
            _add(grads, block, found)
        return None, None, None, None, *grads


def _add(grads: list[Tensor | None], block: _Block, found: list[Tensor | None]) -> None:
    """Put a block's derivatives where they belong."""
    for name, whole, part in zip(_Operands._fields, grads, found, strict=True):
        if whole is None or part is None:
            continue
        if name in ("theta", "tau"):
            whole[:, block.rows] += part
        elif name == "w_f":
            whole += part
        else:
            whole.scatter_add_(1, block.places_BK if whole.dim() == 2 else _wide(block.places_BK, whole), part)
