"""The weights that the positions of one input give to each other in a non-local block, as rows that are asked for.

Shapes: B batch, C channels, Q asked positions, M summed positions, K the summed positions of one set. Positions are
numbered in row-major order over their grid. A set is what is summed together: everything, or one frame, one location,
or one temporal group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nonlocalnet import functional
from nonlocalnet.block.folding import numbered
from nonlocalnet.block.layers import BlockLayers
from nonlocalnet.block.options import AXES
from nonlocalnet.block.summing import Operands, Sets, limits
from nonlocalnet.functional import Pairwise


@dataclass(frozen=True)
class Affinities:
    """What decides the weights of asked positions, and the weights; never more of them than are asked for.

    Attributes:
        how: The pairwise function f, and how the keys of a position are found.
        asked: (Q,) the numbers of the asked positions.
        queries_BQC: theta of them; x of them with "gaussian".
        keys_BMC: phi of the summed positions; x, pooled or not, with "gaussian".
        kept_BM: bool, False where a summed position is left out; None where all are kept.
        grid: The axes of the block's input.
        key_grid: The axes of the summed positions.
        key_stride: Positions that one key covers along each axis.
        set_of_Q: (Q,) the number of the set that each asked position is in.
        keys_of_set: (sets, K) the numbers of the summed positions of each set.
        seen_Q: (Q,) how many of the first keys of its set each asked position sees (a causal block); None for all.
        u_BM: The scores of all keys, where positions are chosen by them.
        k: How many are chosen in a set.
        numbers: Gives how many by the (B, K) mask of a set, where that differs from k; None where it does not.
    """

    how: Sets
    asked: Tensor
    queries_BQC: Tensor
    keys_BMC: Tensor
    kept_BM: Tensor | None
    grid: tuple[int, ...]
    key_grid: tuple[int, ...]
    key_stride: tuple[int, ...]
    set_of_Q: Tensor
    keys_of_set: Tensor
    seen_Q: Tensor | None = None
    u_BM: Tensor | None = None
    k: int = 0
    numbers: Callable[[Tensor], Tensor] | None = None

    @property
    def pairwise(self) -> Pairwise:
        """The pairwise function f."""
        return self.how.pairwise

    @property
    def scale(self) -> float:
        """Factor on the logits of a softmax."""
        return self.how.scale

    @property
    def w_f(self) -> Tensor | None:
        """(2 C,), for "concatenation" only."""
        return self.how.w_f

    def sets(self) -> Iterator[tuple[Tensor, Tensor]]:
        """For every set with asked positions: which of the Q they are, and the numbers of the K keys, in order."""
        for index in self.set_of_Q.unique():
            yield (self.set_of_Q == index).nonzero().squeeze(1), self.keys_of_set[index]

    def of_set(self, rows: Tensor, keys: Tensor) -> Tensor:
        """The weights (B, R, K) of asked positions of one set over its keys, as `sets` gives both."""
        allowed, share = self._limits(rows, keys)
        weights = functional.affinity(
            self.how.pairwise, self.queries_BQC[:, rows], self.keys_BMC[:, keys], **self.how.own, allowed=allowed
        )
        return weights if share is None else weights * share

    def allowed(self, rows: Tensor, keys: Tensor) -> Tensor | None:
        """(B or 1, R or 1, K) bool, which keys the positions may look at; None for all of their set."""
        return self._limits(rows, keys)[0]

    def _limits(self, rows: Tensor, keys: Tensor) -> tuple[Tensor | None, Tensor | None]:
        kept_BM = None if self.kept_BM is None else self.kept_BM[:, keys]
        operands = Operands(
            theta_BNC=self.queries_BQC[:, rows],
            phi_BMC=self.keys_BMC[:, keys],
            g_BMD=self.keys_BMC[:, keys],  # not looked at
            kept_BM=kept_BM,
            seen_N=None if self.seen_Q is None else self.seen_Q[rows],
            u_BM=None if self.u_BM is None else self.u_BM[:, keys],
            k=self.k,
            fewer_B=None if self.numbers is None or kept_BM is None else self.numbers(kept_BM),
        )
        return limits(self.how, operands, self.asked[rows])

    def rows(self) -> Tensor:
        """The weights (B, Q, M) of all asked positions; 0 where a key is not in a position's set."""
        weights_BQM = self.keys_BMC.new_zeros(len(self.keys_BMC), len(self.asked), self.keys_BMC.shape[1])
        for rows, keys in self.sets():
            weights_BQM[:, rows.unsqueeze(1), keys] = self.of_set(rows, keys).to(weights_BQM.dtype)
        return weights_BQM

    def only(self, rows: Tensor) -> Affinities:
        """The same for some of the asked positions: `rows` counts among the Q."""
        return Affinities(
            **{
                **vars(self),
                "asked": self.asked[rows],
                "queries_BQC": self.queries_BQC[:, rows],
                "set_of_Q": self.set_of_Q[rows],
                "seen_Q": None if self.seen_Q is None else self.seen_Q[rows],
            }
        )


def affinities_of(block: BlockLayers, x: Tensor, asked: Tensor, key_mask: Tensor | None) -> Affinities:
    """What decides the weights of the asked positions (Q,), by their row-major numbers over the grid of x.

    Raises:
        ValueError: No position has a key.
    """
    if block.pooling.leaves_no_key(x):
        raise ValueError(
            f"x {tuple(x.shape)} is shorter than the pooling of this causal block ({block.pool_kernel[0]} in time): "
            "no position has a key to look at"
        )
    queries_BCQ = x.flatten(2)[:, :, asked]
    if block.theta is not None:
        queries_BCQ = block.theta(queries_BCQ.reshape(*queries_BCQ.shape, *(1,) * (block.ndim - 1))).flatten(2)
    keys, values, mask = block.keys_and_values(x, key_mask)
    _, g, kept = block.fold_keys(keys, values, mask)
    scores, k, fewer = block.choice(x, g, kept)
    sets = block.folding.fold(numbered(x)).squeeze(2)
    return Affinities(
        how=block.sets(),
        asked=asked,
        queries_BQC=queries_BCQ.transpose(1, 2),
        keys_BMC=keys.flatten(2).transpose(1, 2).clone(),
        kept_BM=None if mask is None else mask.flatten(1),
        grid=tuple(x.shape[2:]),
        key_grid=tuple(keys.shape[2:]),
        key_stride=block.pooling.on(x),
        set_of_Q=_of_positions(torch.arange(len(sets), device=x.device).unsqueeze(1), sets)[asked],
        keys_of_set=block.key_folding.fold(numbered(keys)).squeeze(2),
        seen_Q=_of_positions(block.seen(x), sets)[asked] if block.causal else None,
        u_BM=None if scores is None else block.folding.unfold(scores.unsqueeze(2), x).flatten(1),
        k=k,
        numbers=None if fewer is None or block.scorer is None else block.scorer.numbers,
    )


def _of_positions(values: Tensor, sets: Tensor) -> Tensor:
    """(N,) the values of all positions, given as (sets, positions of each) or what broadcasts to it."""
    of = torch.empty(sets.numel(), dtype=torch.long, device=sets.device)
    of[sets] = values.expand_as(sets)
    return of


def flat_positions(positions: Tensor, x: Tensor) -> Tensor:
    """(Q, ndim) coordinates to (Q,) row-major numbers over the positions of x (B, C, *positions).

    Raises:
        ValueError: They have the wrong shape or type, or one lies outside the map.
    """
    grid = tuple(x.shape[2:])
    if positions.dim() != 2 or positions.shape[1] != len(grid):
        raise ValueError(
            f"positions must be (Q, {len(grid)}), one ({AXES[len(grid)]}) each, got {tuple(positions.shape)}"
        )
    if positions.is_floating_point() or positions.dtype == torch.bool:
        raise ValueError(f"positions must be integers, got {positions.dtype}")
    positions = positions.to(x.device, torch.long)
    outside = ((positions < 0) | (positions >= positions.new_tensor(grid))).any(dim=1)
    if outside.any():
        raise ValueError(f"positions must lie inside the map {grid}, got {positions[outside][0].tolist()}")
    flat = torch.zeros(len(positions), dtype=torch.long, device=x.device)
    for axis, size in enumerate(grid):
        flat = flat * size + positions[:, axis]
    return flat
