"""sum_{j < seen_i} ReLU(a_i + b_j) g_j in N log^2 N: sorted blocks of every power of two.

The first seen_i keys are a sum of blocks, one for each bit of seen_i, the largest first, and each block of a size is
sorted once for all queries that use it:

    seen 13 = 8 + 4 + 1      |0 1 2 3 4 5 6 7|8 9 10 11|12|

Each block is a sum over all of its keys (`nonlocalnet.functional.relu_sorted`). What is left below the smallest sorted
block is summed pair by pair.

The derivatives are sums of the same kind, those of b and g over what comes after. Ties a_i = c_j are not counted.
Shape suffixes: B batch, N queries, M keys, D channels; U blocks that some query uses, L queries of a block (padded),
S keys of a block.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from nonlocalnet.functional.causal.prefixes import on_host, turned
from nonlocalnet.functional.differentiable import apply
from nonlocalnet.functional.precision import without_autocast
from nonlocalnet.functional.relu_sorted import sorted_sums
from nonlocalnet.functional.row_dots import row_dots

# Keys below which pairs are summed one by one, 2^LEAST.
LEAST = 6
# Numbers of a table, or of pairs, that are held at a time. On a CPU what the caches keep: a third faster at 2^18 keys.
_HELD, _HELD_ON_A_CPU = 2**24, 2**20


def prefix_relu_sum(a_BN: Tensor, b_BM: Tensor, g_BMD: Tensor, seen_N: Tensor) -> Tensor:
    """sum_{j < seen_i} ReLU(a_i + b_j) g_j, (B, N, D), differentiable to any order."""
    return apply(_PrefixReluSums, a_BN, b_BM, g_BMD, seen_N)[0]


class _PrefixReluSums(torch.autograd.Function):
    @staticmethod
    def forward(a: Tensor, b: Tensor, g: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        return _prefix_relu_sums(a, b, g, seen)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs, output[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        grad_y, grad_counted = grad_outputs
        a, b, g, seen, counted = ctx.saved_tensors
        after = turned(seen, b.shape[1])
        a_back, b_back = a.flip(1), b.flip(1)
        grad_a = grad_b = grad_g = None
        if grad_y is not None:
            sums = apply(_PrefixReluSums, b_back, a_back, grad_y.flip(1), after)
            grad_g, counted_by_key = (side.flip(1) for side in sums)
            grad_a, grad_b = row_dots(grad_y, counted), row_dots(g, counted_by_key)
        if grad_counted is not None:  # only in derivatives of derivatives
            steps_g = apply(_PrefixReluSums, b_back, a_back, grad_counted.flip(1), after)[1].flip(1)
            grad_g = steps_g if grad_g is None else grad_g + steps_g
        return grad_a, grad_b, grad_g, None


@torch.library.custom_op("nonlocalnet::prefix_relu_sums", mutates_args=())
def _prefix_relu_sums(a: Tensor, b: Tensor, g: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """(sum of ReLU(a_i + b_j) g_j, sum over the j with a_i + b_j > 0 of g_j), both over j < seen_i."""
    y_BND, counted_BND = (g.new_zeros(*a.shape, g.shape[2]) for _ in range(2))
    if 0 in (a.numel(), b.numel()):
        return y_BND, counted_BND
    host = on_host(seen)
    g = g.contiguous()  # its rows are read at every level
    held = _HELD_ON_A_CPU if g.device.type == "cpu" else _HELD
    with without_autocast(g):
        for level in range(LEAST, int(host.max()).bit_length()):
            for blocks, queries in _users(host, level, at_once=held // (len(a) * 2**level * 2 * g.shape[2])):
                _add_sorted(a, b, g, (blocks, queries), 2**level, (y_BND, counted_BND))
        for blocks, queries in _rests(host, held=held // len(a)):
            _add_pairs(a, b, g, (blocks, queries), seen, (y_BND, counted_BND))
    return y_BND, counted_BND


_Groups = Iterator[tuple[np.ndarray, np.ndarray]]


def _users(seen: np.ndarray, level: int, *, at_once: int) -> _Groups:
    """The blocks of a size that some query uses, and those queries (U, L), -1 where a block has fewer than others."""
    chosen = np.flatnonzero((seen >> level) & 1)
    yield from _grouped(chosen, (seen[chosen] >> level) - 1, max(1, at_once))


def _rests(seen: np.ndarray, *, held: int) -> _Groups:
    """The queries whose count is no multiple of the smallest block, by the block that their rest is in."""
    chosen = np.flatnonzero(seen & (2**LEAST - 1))
    # Queries of one frame share their keys: their number is not bounded by the block's.
    longest = max(1, int(np.bincount(seen[chosen] >> LEAST).max(initial=0)))
    yield from _grouped(chosen, seen[chosen] >> LEAST, max(1, held // (longest * 2**LEAST)))


def _grouped(queries: np.ndarray, blocks: np.ndarray, at_once: int) -> _Groups:
    used, begins, counts = np.unique(blocks, return_index=True, return_counts=True)
    for first in range(0, len(used), at_once):
        part = slice(first, first + at_once)
        places = np.arange(counts[part].max())
        index = begins[part, None] + places
        index = np.where(places < counts[part, None], index, -1)
        yield used[part], np.where(index >= 0, queries[np.maximum(index, 0)], -1)


def _add_sorted(
    a: Tensor, b: Tensor, g: Tensor, group: tuple[np.ndarray, np.ndarray], size: int, out: tuple[Tensor, Tensor]
) -> None:
    blocks, queries_UL = (torch.from_numpy(part).to(a.device) for part in group)
    keys_US = blocks[:, None] * size + torch.arange(size, device=a.device)
    # Rows by `embedding`: an index of several axes goes number by number, three times as long.
    batch_B11 = torch.arange(len(a), device=a.device)[:, None, None]
    g_BUSD = F.embedding(keys_US + batch_B11 * b.shape[1], g.flatten(0, 1))
    a_BUL, b_BUS = a[:, queries_UL.clamp_min(0)], b[:, keys_US]
    rows = sorted_sums(*(side.flatten(0, 1) for side in (a_BUL, b_BUS, g_BUSD)))
    y_BULD, counted_BULD = (part.unflatten(0, (len(a), len(blocks))) for part in rows)
    _add_rows(out, queries_UL, (y_BULD, counted_BULD))


def _add_pairs(
    a: Tensor, b: Tensor, g: Tensor, group: tuple[np.ndarray, np.ndarray], seen: Tensor, out: tuple[Tensor, Tensor]
) -> None:
    size = 2**LEAST
    blocks, queries_UL = (torch.from_numpy(part).to(a.device) for part in group)
    keys_US = blocks[:, None] * size + torch.arange(size, device=a.device)
    there_ULS = keys_US[:, None] < seen[queries_UL.clamp_min(0)].unsqueeze(2)
    keys_US = keys_US.clamp_max(b.shape[1] - 1)
    weights = a[:, queries_UL.clamp_min(0)].unsqueeze(3) + b[:, keys_US].unsqueeze(2)
    weights = weights.relu_().masked_fill_(~there_ULS, 0.0)
    g_BUSD = g[:, keys_US]
    steps = (weights > 0).to(g.dtype)
    _add_rows(out, queries_UL, (weights @ g_BUSD, steps @ g_BUSD))


def _add_rows(out: tuple[Tensor, Tensor], queries_UL: Tensor, rows: tuple[Tensor, Tensor]) -> None:
    queries = queries_UL.flatten()
    used = (queries >= 0).nonzero().squeeze(1)
    for all_rows, added in zip(out, rows, strict=True):
        chosen = added.flatten(1, 2)
        if len(used) < len(queries):
            chosen = chosen[:, used]
        all_rows.index_add_(1, queries[used], chosen.to(all_rows.dtype))


@_prefix_relu_sums.register_fake
def _shapes(a: Tensor, _b: Tensor, g: Tensor, _seen: Tensor) -> tuple[Tensor, Tensor]:
    shape = (*a.shape, g.shape[2])
    return g.new_empty(shape), g.new_empty(shape)


@register_flop_formula(torch.ops.nonlocalnet.prefix_relu_sums)
def _flops(_a: list[int], b: list[int], g: list[int], *_: object, **__: object) -> int:
    """Two prefix sums of g for half of the keys at each of log2 M sizes."""
    return 2 * g[0] * g[1] * g[2] * max(1, b[1].bit_length() - LEAST)
