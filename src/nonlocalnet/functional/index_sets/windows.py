"""Sums over a window around each position of a sequence, dilated or not: N (2 window + 1) weights and no more.

    window 2, dilation 1     . . j j i j j . .          causal     . . j j i . . . .
    window 2, dilation 2     j . j . i . j . j                     j . j . i . . . .

A dilated window is a plain one in each of `dilation` interleaved sequences. These are cut into chunks of queries; a
chunk meets the keys from `window` before it to `window` after it, in one product, and a band of them counts.
Shape suffixes: B batch, N positions, C and D channels; U chunks, L queries of a chunk, S keys that a chunk meets.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nonlocalnet.functional.checks import check_at_least
from nonlocalnet.functional.index_sets.parts import HELD, in_parts
from nonlocalnet.functional.masking import all_kept, zero_masked
from nonlocalnet.functional.pairwise import Pairwise, PairwiseFunction, row_of
from nonlocalnet.functional.precision import in_dtype, result_dtype, sum_dtype, without_autocast

LEAST_CHUNK = 64
# Weights that are held at a time on a CPU, in the cache of its cores: 1.4 times faster than HELD of them.
HELD_IN_CACHE = 2**19


class _Reach(NamedTuple):
    """How far a chunk looks: the window before it, what is after it, and its length."""

    before: int
    after: int
    chunk: int

    @property
    def span(self) -> int:
        return self.before + self.chunk + self.after


def windowed_sum(
    pairwise: Pairwise,
    theta_BNC: Tensor,
    phi_BNC: Tensor,
    g_BND: Tensor,
    *,
    window: int,
    dilation: int = 1,
    causal: bool = False,
    w_f: Tensor | None = None,
    scale: float = 1.0,
    key_mask: Tensor | None = None,
) -> Tensor:
    """y_i = 1 / C_i sum f(x_i, x_j) g_j over j = i + dilation t, -window <= t <= window (t <= 0 where causal).

    C_i is the sum of the same weights for the Gaussian forms, and for the others the number of positions that are
    really summed: those in the sequence and kept. With `window` of N - 1 or more this is the sum over all positions.

    Args:
        pairwise: One of `PAIRWISE`.
        theta_BNC: (B, N, C), x for "gaussian".
        phi_BNC: (B, N, C), x for "gaussian".
        g_BND: (B, N, D).
        window: Positions to each side, at least 0.
        dilation: Distance between them, at least 1.
        causal: Whether only the position itself and those before it count.
        w_f: (2C,), for "concatenation" only.
        scale: Factor of the logits, for the Gaussian forms only.
        key_mask: (B, N) bool; positions with False are left out, and do not count.

    Returns:
        y, (B, N, D), in the operands' dtype; 0 where nothing is kept. float16 and bfloat16 are summed in float32.

    Raises:
        ValueError: As the function of that name; N differs between the two sides; window or dilation is out of range.

    >>> x, g = torch.ones(1, 4, 1), torch.tensor([[[1.0], [2.0], [6.0], [9.0]]])
    >>> windowed_sum("dot_product", x, x, g, window=1, causal=True)[0, :, 0].round(decimals=3).tolist()
    [1.0, 1.5, 4.0, 7.5]
    """
    row = row_of(pairwise)
    row.check(theta_BNC, phi_BNC, g_BND, w_f=w_f, scale=scale, key_mask=key_mask)
    check_window(theta_BNC, phi_BNC, window=window, dilation=dilation)
    dtype = result_dtype(theta_BNC, phi_BNC, g_BND)
    with without_autocast(g_BND):
        theta_BNC, phi_BNC, g_BND = in_dtype(sum_dtype(dtype), theta_BNC, phi_BNC, g_BND)
        w_f = None if w_f is None else w_f.to(g_BND.dtype)
        kept_BN = all_kept(phi_BNC) if key_mask is None else key_mask
        positions = theta_BNC.shape[1]
        window = min(window, max(positions - 1, 0))
        parts = (theta_BNC, zero_masked(phi_BNC, key_mask), zero_masked(g_BND, key_mask), kept_BN.unsqueeze(2))
        theta, phi, g, kept = (_interleaved(part, dilation) for part in parts)
        y = _in_chunks(row, theta, phi, g, kept.squeeze(2), window, causal=causal, w_f=w_f, scale=scale)
        return _joined(y, len(theta_BNC), dilation)[:, :positions].to(dtype)


def check_window(theta_BNC: Tensor, phi_BNC: Tensor, *, window: int, dilation: int) -> None:
    """Refuse what is no window around the positions of one sequence.

    Raises:
        ValueError: Naming what was given.
    """
    if theta_BNC.shape[1] != phi_BNC.shape[1]:
        raise ValueError(
            f"a window is around a position of one sequence: theta and phi must have the same N; "
            f"got {tuple(theta_BNC.shape)} and {tuple(phi_BNC.shape)}"
        )
    check_at_least("window", window, 0)
    check_at_least("dilation", dilation, 1)


def _interleaved(rows_BNC: Tensor, dilation: int) -> Tensor:
    """(B dilation, ceil(N / dilation), C): every `dilation`-th position; zeros (False) past the end."""
    if dilation == 1:
        return rows_BNC
    rows_BNC = F.pad(rows_BNC, (0, 0, 0, -rows_BNC.shape[1] % dilation))
    steps = rows_BNC.shape[1] // dilation
    return rows_BNC.unflatten(1, (steps, dilation)).transpose(1, 2).flatten(0, 1)


def _joined(rows: Tensor, batch: int, dilation: int) -> Tensor:
    """The inverse of `_interleaved`, the padding still there."""
    return rows if dilation == 1 else rows.unflatten(0, (batch, dilation)).transpose(1, 2).flatten(1, 2)


def _in_chunks(
    row: PairwiseFunction,
    theta_BNC: Tensor,
    phi_BNC: Tensor,
    g_BND: Tensor,
    kept_BN: Tensor,
    window: int,
    *,
    causal: bool,
    w_f: Tensor | None,
    scale: float,
) -> Tensor:
    reach = _Reach(window, 0 if causal else window, max(LEAST_CHUNK, window))
    batch, positions, _ = theta_BNC.shape
    more = -positions % reach.chunk
    theta_BULC = F.pad(theta_BNC, (0, 0, 0, more)).unflatten(1, (-1, reach.chunk))
    phi_BUSC, g_BUSD = (
        F.pad(rows, (0, 0, reach.before, more + reach.after)).unfold(1, reach.span, reach.chunk).transpose(2, 3)
        for rows in (phi_BNC, g_BND)
    )
    kept_BUS = F.pad(kept_BN, (reach.before, more + reach.after)).unfold(1, reach.span, reach.chunk)
    ahead_LS = torch.arange(reach.span, device=g_BND.device) - torch.arange(reach.chunk, device=g_BND.device)[:, None]
    band_LS = (ahead_LS >= 0) & (ahead_LS <= reach.before + reach.after)

    def some(theta: Tensor, phi: Tensor, g: Tensor, kept: Tensor, w_f: Tensor | None) -> Tensor:
        both, (theta, phi, g, kept) = theta.shape[:2], (part.flatten(0, 1) for part in (theta, phi, g, kept))
        if row.is_softmax:
            logits = torch.baddbmm(theta.new_empty(()), theta, phi.mT, beta=0, alpha=scale)
            weights = torch.softmax(_left_out(logits, ~(band_LS & kept.unsqueeze(1))), dim=2)
        else:
            weights = row.rows(theta, phi, w_f=w_f, scale=scale) * band_LS
        return torch.bmm(weights, g).unflatten(0, both)

    held = HELD_IN_CACHE if g_BND.device.type == "cpu" else HELD
    step = max(1, held // max(1, batch * reach.chunk * reach.span))
    y = in_parts(some, (theta_BULC, phi_BUSC, g_BUSD, kept_BUS), (w_f,), step=step).flatten(1, 2)[:, :positions]
    seen_BN1 = _seen(kept_BN, reach).unsqueeze(2)
    if row.is_softmax:
        return y.masked_fill(seen_BN1 == 0, 0.0)
    return y * (reach.span / seen_BN1.clamp_min(1).to(y.dtype))


def _left_out(logits: Tensor, out: Tensor) -> Tensor:
    """In place: the least number there, so that no weight is left however large the logits are.

    A number that is added would be outweighed by a larger one. Not -inf, of which a window without a key would make
    NaN; its equal weights are left out by what is seen.
    """
    return logits.masked_fill_(out, torch.finfo(logits.dtype).min)


def _seen(kept_BN: Tensor, reach: _Reach) -> Tensor:
    """(B, N): how many positions each window really holds."""
    until_BN = F.pad(kept_BN.cumsum(dim=1), (reach.before + 1, 0))
    until_BN = torch.cat([until_BN, until_BN[:, -1:].expand(-1, reach.after)], dim=1)
    positions = kept_BN.shape[1]
    return until_BN[:, -positions:] - until_BN[:, :positions]
