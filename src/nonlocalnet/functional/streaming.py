"""The causal sum in pieces: what a long sequence has left behind, in a form that the next piece goes on from.

dot product                  a total of phi^T g (C x D) and a count: the same size after any number of positions
the other three              every phi and g so far: a store that grows, or, with a window, of as many as it reaches
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nonlocalnet.functional.causal.forms import causal_product
from nonlocalnet.functional.causal_sum import causal_sum
from nonlocalnet.functional.checks import checked_seen
from nonlocalnet.functional.index_sets.windows import check_window, windowed_sum
from nonlocalnet.functional.masking import all_kept, zero_masked
from nonlocalnet.functional.pairwise import Pairwise, row_of
from nonlocalnet.functional.precision import in_dtype, may_meet, result_dtype, sum_dtype, without_autocast


@dataclass(frozen=True)
class Total:
    """What a dot product keeps of the past.

    Attributes:
        product_BCD: (B, C, D) float64, the sum of phi_j^T g_j: a float32 total would lose digits over a million steps.
        count_B: (B,) int64, how many were kept.
    """

    product_BCD: Tensor
    count_B: Tensor

    def detach(self) -> Total:
        """The same without its history, for truncated backpropagation."""
        return Total(self.product_BCD.detach(), self.count_B)


@dataclass(frozen=True)
class Store:
    """What the other functions keep: everything, or as much as a window reaches.

    Attributes:
        phi_BMC: (B, M, C), M keys so far.
        g_BMD: (B, M, D).
        kept_BM: (B, M) bool, False where a key was left out; it keeps its place.
        pairwise: Whose phi and g they are.
        window: What of them it holds; None: all, and no window may go on from it.
        dilation: The window's.
    """

    phi_BMC: Tensor
    g_BMD: Tensor
    kept_BM: Tensor
    pairwise: Pairwise
    window: int | None = None
    dilation: int = 1

    def detach(self) -> Store:
        """The same without its history, for truncated backpropagation."""
        return replace(self, phi_BMC=self.phi_BMC.detach(), g_BMD=self.g_BMD.detach())


def resume_sum(
    pairwise: Pairwise,
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    past: Total | Store | None,
    *,
    seen_N: Tensor | None = None,
    w_f: Tensor | None = None,
    scale: float = 1.0,
    key_mask: Tensor | None = None,
) -> tuple[Tensor, Total | Store]:
    """`causal_sum` over a sequence that goes on from `past`, and what the next piece goes on from.

    Args:
        pairwise: One of `PAIRWISE`.
        theta_BNC: (B, N, C), the piece's queries.
        phi_BMC: (B, M, C), the piece's new keys; M may be 0.
        g_BMD: (B, M, D).
        past: What the pieces before gave; None at the beginning.
        seen_N: (N,) int64, how many of the new keys each query has seen, beside all former ones; None for i + 1.
        w_f: (2C,), for "concatenation" only.
        scale: Factor of the logits, for the Gaussian forms only.
        key_mask: (B, M) bool; keys with False are left out for good.

    Returns:
        y, (B, N, D), in the operands' dtype, equal to that of the whole sequence; and a `Total` for "dot_product", a
        `Store` for the others.

    Raises:
        ValueError: As `causal_sum`; `past` is of another function, window, batch, width or device, or a
            `Store` of another dtype.
    """
    row = row_of(pairwise)
    row.check(theta_BNC, phi_BMC, g_BMD, w_f=w_f, scale=scale, key_mask=key_mask, least_keys=0)
    if pairwise == "dot_product":
        return _resume_product(theta_BNC, phi_BMC, g_BMD, _checked_total(past, phi_BMC, g_BMD), seen_N, key_mask)
    store = _joined(past, Store(phi_BMC, g_BMD, _kept(phi_BMC, key_mask), pairwise))
    former = store.phi_BMC.shape[1] - phi_BMC.shape[1]
    seen_N = former + checked_seen(seen_N, theta_BNC.shape[1], phi_BMC.shape[1], theta_BNC.device)
    if store.phi_BMC.shape[1] == 0:  # nothing to sum over yet
        return theta_BNC.new_zeros(*theta_BNC.shape[:2], g_BMD.shape[2]), store
    mask = None if bool(store.kept_BM.all()) else store.kept_BM
    y_BND = causal_sum(
        pairwise, theta_BNC, store.phi_BMC, store.g_BMD, seen_N=seen_N, w_f=w_f, scale=scale, key_mask=mask
    )
    return y_BND, store


def resume_windowed(
    pairwise: Pairwise,
    theta_BNC: Tensor,
    phi_BNC: Tensor,
    g_BND: Tensor,
    past: Total | Store | None,
    *,
    window: int,
    dilation: int = 1,
    w_f: Tensor | None = None,
    scale: float = 1.0,
    key_mask: Tensor | None = None,
) -> tuple[Tensor, Store]:
    """`windowed_sum(causal=True)` over a sequence that goes on from `past`; the store holds what the window reaches.

    Args and errors are those of `windowed_sum` and `resume_sum`; the store never holds more than window x dilation.
    """
    row = row_of(pairwise)
    row.check(theta_BNC, phi_BNC, g_BND, w_f=w_f, scale=scale, key_mask=key_mask)
    check_window(theta_BNC, phi_BNC, window=window, dilation=dilation)
    store = _joined(past, Store(phi_BNC, g_BND, _kept(phi_BNC, key_mask), pairwise, window, dilation))
    former = store.phi_BMC.shape[1] - phi_BNC.shape[1]
    theta = torch.cat([theta_BNC.new_zeros(len(theta_BNC), former, theta_BNC.shape[2]), theta_BNC], dim=1)
    y_BND = windowed_sum(
        pairwise, theta, store.phi_BMC, store.g_BMD, window=window, dilation=dilation, causal=True, w_f=w_f,
        scale=scale, key_mask=store.kept_BM,
    )[:, former:]  # fmt: skip
    begin = max(0, store.phi_BMC.shape[1] - window * dilation)
    # A copy: a view would hold all that the store has ever held.
    phi, g, kept = (part[:, begin:].clone() for part in (store.phi_BMC, store.g_BMD, store.kept_BM))
    return y_BND, replace(store, phi_BMC=phi, g_BMD=g, kept_BM=kept)


def _resume_product(
    theta_BNC: Tensor,
    phi_BMC: Tensor,
    g_BMD: Tensor,
    past: Total | None,
    seen_N: Tensor | None,
    key_mask: Tensor | None,
) -> tuple[Tensor, Total]:
    seen_N = checked_seen(seen_N, theta_BNC.shape[1], phi_BMC.shape[1], theta_BNC.device)
    dtype = result_dtype(theta_BNC, phi_BMC, g_BMD)
    with without_autocast(g_BMD):
        theta, phi, g = in_dtype(sum_dtype(dtype), theta_BNC, phi_BMC, g_BMD)
        phi, g = zero_masked(phi, key_mask), zero_masked(g, key_mask)
        if past is None:
            total = torch.zeros(len(g), phi.shape[2], g.shape[2], dtype=torch.float64, device=g.device)
            past = Total(total, torch.zeros(len(g), dtype=torch.long, device=g.device))
        new_B = torch.full_like(past.count_B, g.shape[1]) if key_mask is None else key_mask.sum(dim=1)
        before = past.product_BCD, past.count_B.view(-1, 1, 1)
        y = causal_product(theta, phi, g, key_mask=key_mask, seen_N=seen_N, past=before)
        after = past.product_BCD + torch.bmm(phi.mT, g).double()
        return y.to(dtype), Total(after, past.count_B + new_B)


def _kept(phi: Tensor, key_mask: Tensor | None) -> Tensor:
    return all_kept(phi) if key_mask is None else key_mask


def _joined(past: object, piece: Store) -> Store:
    """What there is with this piece; a ValueError where it cannot go on from `past`."""
    if past is None:
        return piece
    if not isinstance(past, Store):
        raise _other_state(past, Store)
    had, has = ((store.pairwise, store.window, store.dilation) for store in (past, piece))
    if had != has:
        raise ValueError(f"the state is of (pairwise, window, dilation) = {had}; this sum is of {has}")
    _require_same_sizes((len(past.g_BMD), past.phi_BMC.shape[2], past.g_BMD.shape[2]), piece.phi_BMC, piece.g_BMD)
    _require_same_device(past.phi_BMC, piece.phi_BMC)
    if not may_meet(piece.phi_BMC, past.phi_BMC):
        raise ValueError(f"the state is of {past.phi_BMC.dtype}; this piece is of {piece.phi_BMC.dtype}")
    pairs = ((past.phi_BMC, piece.phi_BMC), (past.g_BMD, piece.g_BMD), (past.kept_BM, piece.kept_BM))
    phi, g, kept = (torch.cat(pair, dim=1) for pair in pairs)
    return replace(piece, phi_BMC=phi, g_BMD=g, kept_BM=kept)


def _checked_total(past: object, phi: Tensor, g: Tensor) -> Total | None:
    """Refuse what a dot product cannot go on from."""
    if past is None or isinstance(past, Total):
        if past is not None:
            _require_same_sizes(tuple(past.product_BCD.shape), phi, g)
            _require_same_device(past.product_BCD, g)
        return past
    raise _other_state(past, Total)


def _require_same_sizes(had: tuple[int, ...], phi: Tensor, g: Tensor) -> None:
    has = (len(g), phi.shape[2], g.shape[2])
    if had != has:
        raise ValueError(f"the state is of (batch, C, D) = {had}; this piece has {has}")


def _require_same_device(had: Tensor, has: Tensor) -> None:
    if had.device != has.device:
        raise ValueError(f"the state is on {had.device}; this piece is on {has.device}")


def _other_state(past: object, wanted: type[Total] | type[Store]) -> ValueError:
    return ValueError(
        f"the state is a {type(past).__name__}; this sum goes on from a {wanted.__name__}: it is the state of a block "
        "with another pairwise function, or with a window and without"
    )
