"""What is said of all queries, against the paper's equations as loops in float64."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from block.loops import kernel, literal_weights
from nonlocalnet.block import NonLocalBlock
from nonlocalnet.explanation import explain
from nonlocalnet.explanation import survey as survey_file
from nonlocalnet.explanation.packing import pack
from nonlocalnet.functional import PAIRWISE

GRID = (4, 5, 6)
CASES = [
    *({"pairwise": name} for name in PAIRWISE),
    *({"pairwise": name, "subsample": 2} for name in PAIRWISE),
    {"domain": "space"},
    {"domain": "space", "subsample": 2, "pairwise": "dot_product"},
    {"domain": "time"},
    {"domain": "time", "pairwise": "concatenation"},
    {"temporal_group_frames": 2},
    {"temporal_group_frames": 2, "subsample": (2, 2, 2), "pairwise": "dot_product"},
    {"subsample": (2, 1, 3), "subsample_first": True, "scale": "rsqrt"},
    {"causal": True, "norm": "layer"},
    {"causal": True, "norm": None, "subsample": 2, "pairwise": "dot_product"},
]


def one_block(options, *, grid=GRID, channels=4):
    torch.manual_seed(1)
    block = NonLocalBlock(channels, ndim=len(grid), **options).eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(0, 0.7)
    return block, torch.randn(1, channels, *grid)


class OneBlock(nn.Module):
    """A network that is one block, called with a mask."""

    def __init__(self, block, key_mask=None):
        super().__init__()
        self.block, self.key_mask = block, key_mask

    def forward(self, x):
        return self.block(x, key_mask=self.key_mask)


def matrix(block, options, x, key_mask=None):
    """(N, M) weights by loops, and which of them exist."""
    key_grid = tuple(size // k for size, k in zip(x.shape[2:], kernel(options, tuple(x.shape[2:])), strict=True))
    rows = literal_weights(block, options, x, 0, key_mask)
    full = np.zeros((math.prod(x.shape[2:]), math.prod(key_grid)))
    seen = np.zeros(full.shape, dtype=bool)
    for i, row in rows.items():
        for j, weight in row.items():
            at = np.ravel_multi_index(i, x.shape[2:]), np.ravel_multi_index(j, key_grid)
            full[at], seen[at] = weight, True
    return full, seen, key_grid


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
def test_the_strongest_of_every_query_are_those_of_the_whole_matrix(options, masked, monkeypatch):
    monkeypatch.setitem(survey_file._ELEMENTS, "cpu", 64)  # several parts
    block, x = one_block(options)
    key_mask = torch.rand(1, *GRID) > 0.3 if masked else None
    found = explain(OneBlock(block, key_mask), x, top=7).blocks[0].survey
    full, seen, _ = matrix(block, options, x, key_mask)
    for query, (row, exists) in enumerate(zip(full, seen, strict=True)):
        weights = found.weights[query].numpy()
        keys = found.strongest[query].numpy()
        best = np.sort(np.where(exists, row, -np.inf))[::-1][: len(weights)]
        held = np.isfinite(best) & (keys >= 0)
        np.testing.assert_allclose(weights[held], best[held], rtol=2e-4, atol=2e-6)
        np.testing.assert_allclose(row[keys[held]], weights[held], rtol=2e-4, atol=2e-6)
        assert len(set(keys[held])) == held.sum()
        size = np.abs(row).sum()
        assert found.shares[query] == pytest.approx(np.abs(weights[held]).sum() / size if size else 0, abs=2e-5)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_distances_frames_and_differences_are_those_of_the_whole_matrix(options):
    block, x = one_block(options)
    found = explain(OneBlock(block), x).blocks[0].survey
    full, seen, key_grid = matrix(block, options, x)
    stride = kernel(options, GRID)
    shares = np.abs(full)
    sizes = shares.sum(1, keepdims=True)
    looks = sizes[:, 0] > 0
    shares = np.divide(shares, sizes, out=np.zeros_like(shares), where=sizes > 0)
    queries = np.array(list(itertools.product(*map(range, GRID)))) + 0.5
    keys = (np.array(list(itertools.product(*map(range, key_grid)))) + 0.5) * stride
    apart_t = np.abs(queries[:, None, 0] - keys[None, :, 0])
    apart = np.hypot(*(queries[:, None, axis] - keys[None, :, axis] for axis in (1, 2)))
    if options.get("domain") == "time":
        apart = np.zeros_like(apart)
    own = (queries[:, None, 0] // stride[0]) == (keys[None, :, 0] // stride[0])
    means = {
        "mean_time": (shares * apart_t).sum(),
        "mean_space": (shares * apart).sum(),
        "leaves_frame": (shares * ~own).sum(),
    }
    for name, value in means.items():
        assert getattr(found, name) == pytest.approx(value / looks.sum(), abs=1e-5), name
    variation, cosine, counted = 0.0, 0.0, 0
    # In a causal block every query sees other keys, and all are one set.
    sets = [looks] if options.get("causal") else [(seen == keys).all(1) & looks for keys in np.unique(seen, axis=0)]
    for members in sets:
        rows = shares[members]
        if len(rows) == 0:
            continue
        variation += (np.abs(rows - rows.mean(0)).sum(1) / 2).sum()
        units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        cosine += len(rows) * np.mean(1 - units @ units.T)
        counted += len(rows)
    assert found.variation == pytest.approx(variation / counted, abs=1e-5)
    assert found.cosine == pytest.approx(cosine / counted, abs=1e-5)
    assert found.compared == looks.sum()
    for histogram, mean in ((found.space, found.mean_space), (found.time, found.mean_time)):
        if histogram is not None:
            assert sum(histogram.weights) == pytest.approx(1)
            assert sum(histogram.uniform) == pytest.approx(1)
            width = histogram.edges[1] - histogram.edges[0]
            middle = sum(w * (e + width / 2) for w, e in zip(histogram.weights, histogram.edges, strict=False))
            assert abs(middle - mean) <= width


def test_equal_maps_differ_by_nothing_and_disjoint_ones_by_nearly_all():
    block, x = one_block({"pairwise": "embedded_gaussian"}, grid=(40,))
    with torch.no_grad():
        block.theta.weight.zero_()
    even = explain(OneBlock(block), x).blocks[0].survey
    assert even.variation == pytest.approx(0, abs=1e-6)
    assert even.cosine == pytest.approx(0, abs=1e-6)
    # Every position is most like itself: a long one-hot code each.
    alone = NonLocalBlock(40, ndim=1, pairwise="gaussian", scale=100.0).eval()
    own = explain(OneBlock(alone), torch.eye(40)[None]).blocks[0].survey
    assert own.variation == pytest.approx(39 / 40, abs=1e-4)
    assert own.strongest[:, 0].tolist() == list(range(40))
    assert own.mean_space == pytest.approx(0, abs=1e-4)


def test_a_planted_key_is_found():
    """A query and a key that share a code find each other over the whole clip, whatever lies between."""
    block, _ = one_block({"pairwise": "embedded_gaussian"}, channels=8)
    with torch.no_grad():
        for conv in (block.theta, block.phi):
            conv.weight.copy_(torch.eye(4, 8).reshape(4, 8, 1, 1, 1))
            conv.bias.zero_()
    x = torch.zeros(1, 8, 6, 7, 7)
    x[0, 0, 5, 1, 6] = 9.0
    x[0, 0, 0, 6, 2] = 9.0
    explained = explain(OneBlock(block), x)
    query, key = (np.ravel_multi_index(at, (6, 7, 7)) for at in ((5, 1, 6), (0, 6, 2)))
    found = explained.blocks[0].survey
    assert set(found.strongest[query, :2].tolist()) == {query, key}
    assert found.weights[query, :2].tolist() == pytest.approx([0.5, 0.5], abs=1e-5)
    assert found.shares[query] == pytest.approx(1, abs=1e-5)
    held = pack(explained.blocks[0]).arrays  # what the page holds
    assert set(held["top"][query, :2].tolist()) == {query, key}
    assert held["top_weights"][query, :2].tolist() == pytest.approx([0.5, 0.5], abs=1e-5)
    seen = explained.look(at=(0.99, 0.2, 0.99))
    assert {tuple(int(c) for c in place) for place, _ in seen.strongest(2)} == {(5, 1, 6), (0, 6, 2)}


def test_many_positions_go_through_in_parts():
    """25,088 positions, as of a clip of 128 frames: 0.6 GB of weights, of which 17 MB are held at once."""
    torch.manual_seed(0)
    block = NonLocalBlock(4, ndim=3, subsample=2, inner_channels=2).eval()
    x = torch.randn(1, 4, 32, 28, 28)
    rows = []
    whole = explain(OneBlock(block), x).blocks[0].survey
    assert whole.strongest.shape == (25088, 20)
    assert whole.compared <= 1024
    asked = torch.tensor([[31, 27, 27], [0, 0, 0], [16, 3, 8]])
    with torch.no_grad():
        rows = block.affinity_rows(x, asked).weights[0].flatten(1)
    numbers = (asked * torch.tensor([784, 28, 1])).sum(1)
    torch.testing.assert_close(whole.weights[numbers], rows.topk(20, dim=1).values)
