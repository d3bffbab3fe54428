"""Going through all rows of a block once, in parts: the strongest positions of every query, and what all of them do.

Everything is measured on p_i = |w_i| / sum_j |w_ij|, the shares of a query's weight: of a softmax the weights
themselves, of the other functions what they come to whatever their sign and size. A query whose weights are all 0
looks nowhere and is left out of the means.

Shapes: N queries, M keys, K the keys of one set, R rows of a part; T, S the frames and the places of a grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nonlocalnet.block import Affinities
from nonlocalnet.explanation.axes import three
from nonlocalnet.explanation.cells import Cells

_ELEMENTS = {"cpu": 2**22, "cuda": 2**26}  # of a part of the matrix, so that memory does not grow with N
_COMPARED = 1024  # queries whose maps are held against the mean one
_BINS = 24


@dataclass(frozen=True)
class Histogram:
    """Shares of the weight by distance.

    Attributes:
        edges: Of the bins, one more than there are bins.
        weights: The share of all queries' weight in each bin; they sum to 1, or to 0 if no query looks anywhere.
        uniform: The same if every query looked at all its keys alike: what the shape of the grid alone gives.
    """

    edges: tuple[float, ...]
    weights: tuple[float, ...]
    uniform: tuple[float, ...]


@dataclass(frozen=True)
class Survey:
    """What all queries of a block do.

    Attributes:
        strongest: (N, k) int64, the keys with the highest weights, highest first; -1 where a query has fewer keys.
        weights: (N, k) float32, their weights.
        shares: (N,) float32, the share of the query's weight that they hold, from 0 to 1.
        space: Distance within the frame, in pixels; None where the keys of a query lie in one place.
        time: Distance in frames; None where there is one frame.
        mean_space: Mean distance in pixels, and 0 where `space` is None.
        mean_time: Mean distance in frames.
        leaves_frame: The share of the weight that lies in other frames than the query's own.
        variation: How far the maps of different queries differ: the mean, over queries, of half the sum of |p_i - mean
            of all p|, with the mean over the queries of the same set. 0: every query looks at the same places; near 1:
            no two at the same.
        cosine: The mean of 1 - cos(p_i, p_l) over all pairs of queries of a set, as Cao et al. 2019 (GCNet, arXiv
            1904.11492, Section 3) compare them.
        compared: On how many queries `variation` was measured, evenly spread over all N.
        top_share: The mean of `shares`.
    """

    strongest: Tensor
    weights: Tensor
    shares: Tensor
    space: Histogram | None
    time: Histogram | None
    mean_space: float
    mean_time: float
    leaves_frame: float
    variation: float
    cosine: float
    compared: int
    top_share: float


def survey(
    affinities: Affinities,
    cells: tuple[Cells, Cells, Cells],
    *,
    top: int,
    advance: Callable[[int], None] = lambda _: None,
) -> Survey:
    """Go through all rows of a block for one input.

    Args:
        affinities: Of a batch of one, all positions asked.
        cells: What its positions stand for along (t, y, x).
        top: How many of the strongest keys are kept of each query.
        advance: Called with how many rows were gone through since it was last called.
    """
    total = _Totals(affinities, cells, top)
    for queries, keys in affinities.sets():
        rows_at_once = max(1, _ELEMENTS.get(keys.device.type, _ELEMENTS["cpu"]) // len(keys))
        of_set = _OfSet(queries, keys)
        for rows in queries.split(rows_at_once):
            allowed = affinities.allowed(rows, keys)
            allowed_RK = None if allowed is None else allowed[0].expand(len(rows), -1)
            total.add(rows, of_set, affinities.of_set(rows, keys)[0].float(), allowed_RK)
            advance(len(rows))
        total.end_of(of_set)
    return total.result()


class _OfSet:
    """What is summed over the queries of one set."""

    def __init__(self, queries: Tensor, keys: Tensor) -> None:
        self.queries, self.keys = queries, keys
        self.shares_K = torch.zeros(len(keys), dtype=torch.float64, device=keys.device)
        self.units_K = torch.zeros_like(self.shares_K)  # p / |p|, of which the mean cosine is made
        self.looking = 0


class _Totals:
    """What is summed over all queries."""

    def __init__(self, affinities: Affinities, cells: tuple[Cells, Cells, Cells], top: int) -> None:
        self.affinities, device = affinities, affinities.keys_BMC.device
        grid, key_grid, key_stride = map(three, (affinities.grid, affinities.key_grid, affinities.key_stride))
        self.key_stride = key_stride
        queries = math.prod(grid)
        self.strongest = torch.full((queries, top), -1, dtype=torch.long)
        self.weights = torch.zeros(queries, top)
        self.shares = torch.zeros(queries)
        self.places, self.key_places = grid[1] * grid[2], key_grid[1] * key_grid[2]
        every = max(1, math.ceil(queries / _COMPARED))
        self.compared_N = torch.arange(queries, device=device) % every == 0
        t, y, x = (_centres(axis, size).to(device) for axis, size in zip(cells, grid, strict=True))
        key_t, key_y, key_x = (
            _key_centres(axis, size, stride).to(device)
            for axis, size, stride in zip(cells, key_grid, key_stride, strict=True)
        )
        self.apart_T = (t[:, None] - key_t).abs()
        self.place_yx = torch.cartesian_prod(y, x).reshape(-1, 2)
        self.key_place_yx = torch.cartesian_prod(key_y, key_x).reshape(-1, 2)
        # No more bins than there are distances on the grid, or some would be empty whatever the weights.
        bins = min(max(2, *grid[1:]), _BINS)
        self.space_edges = torch.linspace(0, _furthest(cells[1:]), bins + 1, dtype=torch.float64)
        self.time_edges = torch.linspace(0, max(cells[0].length, 1), min(_BINS, grid[0]) + 1, dtype=torch.float64)
        self.time_TT = torch.zeros_like(self.apart_T)
        self.uniform_TT = torch.zeros_like(self.apart_T)
        self.space_bins = torch.zeros(2, bins, dtype=torch.float64, device=device)  # weights, uniform
        self.space_sum = self.left = self.top_sum = self.variation = self.cosine = 0.0
        self.looking = self.compared = self.paired = 0

    def add(self, rows: Tensor, of_set: _OfSet, weights_RK: Tensor, allowed_RK: Tensor | None) -> None:
        """Take in the rows of some queries of a set; `allowed_RK` says which keys they may look at, None for all."""
        asked = self.affinities.asked[rows]
        sizes_R = weights_RK.abs().sum(1, dtype=torch.float64)
        looks_R = sizes_R > 0
        # A left-out key has weight 0, which is more than a negative weight.
        candidates = weights_RK if allowed_RK is None else weights_RK.masked_fill(~allowed_RK, -math.inf)
        top, columns = candidates.topk(min(self.strongest.shape[1], weights_RK.shape[1]), dim=1)
        there = top > -math.inf
        top = top.masked_fill(~there, 0.0)
        at = asked.cpu()
        self.strongest[at, : top.shape[1]] = of_set.keys[columns].masked_fill(~there, -1).cpu()
        self.weights[at, : top.shape[1]] = top.cpu()
        reached_R = torch.where(looks_R, top.abs().sum(1) / sizes_R.clamp_min(torch.finfo(torch.float64).tiny), 0.0)
        self.shares[at] = reached_R.float().clamp(0, 1).cpu()
        self.top_sum += float(reached_R.sum())
        self.looking += int(looks_R.sum())
        of_set.looking += int(looks_R.sum())
        shares_RK = torch.where(looks_R[:, None], weights_RK.abs() / sizes_R[:, None].float(), 0.0)
        of_set.shares_K += shares_RK.sum(0, dtype=torch.float64)
        norms_R1 = shares_RK.norm(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
        of_set.units_K += (shares_RK / norms_R1).sum(0, dtype=torch.float64)
        even_RK = looks_R[:, None].double().expand_as(shares_RK)
        even_RK = even_RK if allowed_RK is None else even_RK * allowed_RK
        even_RK = even_RK / even_RK.sum(1, keepdim=True).clamp_min(1)
        self._add_distances(asked, of_set.keys, shares_RK, even_RK)

    def _add_distances(self, asked: Tensor, keys: Tensor, shares_RK: Tensor, even_RK: Tensor) -> None:
        # The keys of a set are frames times places, in row-major order.
        frames, places = keys.div(self.key_places, rounding_mode="floor"), keys % self.key_places
        width = int((frames == frames[0]).sum())
        frames, places = frames[::width], places[:width]
        query_t = asked.div(self.places, rounding_mode="floor")
        by_frame_RT = torch.zeros(len(asked), self.apart_T.shape[1], dtype=torch.float64, device=keys.device)
        by_frame_RT[:, frames] = shares_RK.view(len(asked), -1, width).sum(2, dtype=torch.float64)
        self.time_TT.index_add_(0, query_t, by_frame_RT)
        even_RT = torch.zeros_like(by_frame_RT)
        even_RT[:, frames] = even_RK.view(len(asked), -1, width).sum(2)
        self.uniform_TT.index_add_(0, query_t, even_RT)
        own = query_t.div(self.key_stride[0], rounding_mode="floor")
        held = own < by_frame_RT.shape[1]  # the last of an odd number of frames may be in no key
        own_R = by_frame_RT.gather(1, own.clamp_max(by_frame_RT.shape[1] - 1)[:, None])[:, 0]
        self.left += float((by_frame_RT.sum(1) - torch.where(held, own_R, 0.0)).sum())
        if width == 1:
            return
        by_place_RS = shares_RK.view(len(asked), -1, width).sum(1, dtype=torch.float64)
        apart_RS = (self.place_yx[asked % self.places][:, None] - self.key_place_yx[places]).norm(dim=2)
        self.space_sum += float((apart_RS * by_place_RS).sum())
        bins = torch.bucketize(apart_RS, self.space_edges[1:-1].to(keys.device)).flatten()
        even_RS = even_RK.view(len(asked), -1, width).sum(1)
        for kind, weights in enumerate((by_place_RS, even_RS)):
            self.space_bins[kind].index_add_(0, bins, weights.flatten())

    def end_of(self, of_set: _OfSet) -> None:
        """All rows of a set have been added: hold some of them against their mean."""
        if of_set.looking == 0:
            return
        mean_K = (of_set.shares_K / of_set.looking).float()
        # The mean cosine of all pairs is the squared length of the mean of the unit vectors.
        self.cosine += of_set.looking * (1 - float((of_set.units_K / of_set.looking).square().sum()))
        self.paired += of_set.looking
        compared = of_set.queries[self.compared_N[self.affinities.asked[of_set.queries]]]
        for rows in compared.split(max(1, _ELEMENTS["cpu"] // len(mean_K))):
            weights_RK = self.affinities.of_set(rows, of_set.keys)[0].float().abs()
            sizes_R1 = weights_RK.sum(1, keepdim=True)
            apart_R = (weights_RK / sizes_R1 - mean_K).abs().sum(1) / 2
            looks_R = sizes_R1[:, 0] > 0
            self.variation += float(apart_R[looks_R].sum())
            self.compared += int(looks_R.sum())

    def result(self) -> Survey:
        """Everything, when all sets are through."""
        looking = max(self.looking, 1)
        time = None
        if self.apart_T.shape[0] > 1:
            by_time = (self.time_TT, self.uniform_TT)
            time = _histogram(self.time_edges, [_binned(self.apart_T, of, self.time_edges) for of in by_time])
        return Survey(
            strongest=self.strongest,
            weights=self.weights,
            shares=self.shares,
            space=_histogram(self.space_edges, list(self.space_bins)) if float(self.space_bins.sum()) > 0 else None,
            time=time,
            mean_space=self.space_sum / looking,
            mean_time=float((self.apart_T * self.time_TT).sum()) / looking,
            leaves_frame=min(max(self.left / looking, 0.0), 1.0),
            variation=self.variation / max(self.compared, 1),
            cosine=max(self.cosine / max(self.paired, 1), 0.0),
            compared=self.compared,
            top_share=self.top_sum / looking,
        )


def _centres(axis: Cells, size: int) -> Tensor:
    return torch.tensor([axis.centre(i) for i in range(size)], dtype=torch.float64)


def _key_centres(axis: Cells, size: int, stride: int) -> Tensor:
    """A key stands for `stride` positions: its centre is the middle of theirs."""
    return torch.tensor([axis.centre(i * stride + (stride - 1) / 2) for i in range(size)], dtype=torch.float64)


def _furthest(axes: tuple[Cells, ...]) -> float:
    return math.hypot(*(axis.stride * max(axis.count - 1, 1) for axis in axes))


def _binned(apart: Tensor, weights: Tensor, edges: Tensor) -> Tensor:
    bins = torch.bucketize(apart, edges[1:-1].to(apart.device))
    counts = torch.zeros(len(edges) - 1, dtype=torch.float64, device=apart.device)
    return counts.index_add_(0, bins.flatten(), weights.flatten())


def _histogram(edges: Tensor, counts: list[Tensor]) -> Histogram:
    weights, uniform = (tuple((c / c.sum().clamp_min(torch.finfo(torch.float64).tiny)).tolist()) for c in counts)
    return Histogram(tuple(edges.tolist()), weights, uniform)
