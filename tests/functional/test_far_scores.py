"""SparseK depends on differences of scores alone: far from 0, across huge ranges, and at infinity."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nonlocalnet.block import NonLocalBlock
from nonlocalnet.block.positions import LearnedPositions
from nonlocalnet.functional import causal_chosen_sum, chosen_sum, sparsek
from nonlocalnet.functional.index_sets.shares import chosen_keys


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.integers(-40, 40), min_size=3, max_size=12),
    k=st.integers(1, 4),
    exponent=st.integers(0, 19),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_what_is_added_to_all_scores_changes_nothing(steps, k, exponent, dtype):
    far = 2.0**exponent
    near = torch.tensor([steps], dtype=dtype) / 16  # exact in float32 up to 2^19
    assert torch.equal((near + far) - far, near)
    torch.testing.assert_close(sparsek(near + far, k), sparsek(near, k), rtol=0, atol=1e-6)
    torch.testing.assert_close(sparsek(near - far, k), sparsek(near, k), rtol=0, atol=1e-6)


@pytest.mark.parametrize("far", [1e7, 1e15, 1e30, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_scores_share_however_large(far, dtype):
    u = torch.full((1, 4), far, dtype=dtype)
    assert sparsek(u, 1).tolist() == [[0.25] * 4]
    assert sparsek(u, 2).tolist() == [[0.5] * 4]


@pytest.mark.parametrize(
    ("scores", "k", "p"),
    [
        ([1e30, 1.0, 0.0, -1e30], 1, [1, 0, 0, 0]),
        ([1e30, 1.0, 0.0, -1e30], 2, [1, 1, 0, 0]),
        ([math.inf, 1.0, 0.5, 0.0], 2, [1, 0.75, 0.25, 0]),
        ([-math.inf, 1.0, -math.inf, 0.0], 1, [0, 1, 0, 0]),
        ([-math.inf, 1.0, -math.inf, 0.0], 3, [0.5, 1, 0.5, 1]),
        ([math.inf, math.inf, 0.0, 0.0], 1, [0.5, 0.5, 0, 0]),
    ],
)
def test_huge_ranges(scores, k, p):
    for dtype in (torch.float32, torch.float64):
        assert sparsek(torch.tensor([scores], dtype=dtype), k).tolist() == [p]


@pytest.mark.parametrize("far", [0.0, 1e8])
def test_sums_and_gradients_far_from_0(far):
    """Equal scores: each p is k / M, and each of the chosen has the derivative 1 - 1 / M of its own score."""
    x, g = torch.ones(1, 4, 1), torch.tensor([[[1.0], [10.0], [100.0], [1000.0]]])
    for summed in (chosen_sum, causal_chosen_sum):
        u = torch.full((1, 4), far, requires_grad=True)
        y = summed("dot_product", x, x, g, u, k=2)
        assert y[0, 3].item() == pytest.approx((1 + 10) / 2 * 0.5)
        y[0, 3].sum().backward()
        assert u.grad is not None
        wanted = [(0.75 * 1 - 0.25 * 10) / 2, (0.75 * 10 - 0.25 * 1) / 2, -11 / 8, -11 / 8]
        torch.testing.assert_close(u.grad[0], torch.tensor(wanted))
    chosen, share = chosen_keys(torch.full((1, 4), far), 2)
    assert chosen.tolist() == [[[True, True, False, False]]]
    assert share.tolist() == [[[0.5, 0.5, 0.0, 0.0]]]


@pytest.mark.parametrize(("size", "dtype"), [(1e20, torch.float32), (1e-24, torch.float32), (1e40, torch.float64)])
def test_the_longest_g_is_found_whatever_its_size(size, dtype):
    torch.manual_seed(0)
    block = NonLocalBlock(2, ndim=1, norm=None, subsample=LearnedPositions(1, by="norm"))
    torch.nn.init.zeros_(block.theta.weight)  # weights of 1, whatever x is
    x = torch.tensor([[[1.0, 2.0, 4.0, 3.0], [0.0, 0.0, 0.0, 0.0]]], dtype=dtype) * size
    rows = block.to(dtype).affinity_rows(x, torch.tensor([[0]])).weights
    assert rows[0, 0].nonzero().tolist() == [[2]]


def test_minus_infinity_where_all_are_chosen():
    for dtype in (torch.float32, torch.float64):
        assert sparsek(torch.tensor([[-math.inf, 0.0]], dtype=dtype), 2).tolist() == [[1, 1]]
        kept = torch.tensor([[True, True, False]])
        assert sparsek(torch.tensor([[-math.inf, 0.0, 1.0]], dtype=dtype), 2, kept=kept).tolist() == [[1, 1, 0]]
    assert sparsek(torch.zeros(2, 0), 1).shape == (2, 0)


@pytest.mark.parametrize("scores", [[3e38, -3e38, 0.0, 1.0], [0.0, 1.0, -math.inf, 2.0]])
def test_drawn_positions_infinitely_far_below_change_nothing(scores):
    x, u = torch.ones(1, 4, 1), torch.tensor([scores], requires_grad=True)
    y = chosen_sum("dot_product", x, x, x, u, k=2, random=2)
    assert torch.equal(y, chosen_sum("dot_product", x, x, x, u, k=2))
    y.sum().backward()
    assert u.grad is not None
    assert u.grad.isfinite().all()


def test_what_is_left_out_takes_no_place_of_minus_infinity():
    x, g = torch.ones(1, 3, 1), torch.tensor([[[1.0], [10.0], [100.0]]])
    u, mask = torch.tensor([[0.0, -math.inf, -math.inf]]), torch.tensor([[False, True, True]])
    assert chosen_sum("dot_product", x, x, g, u, k=1, key_mask=mask, hard=True)[0, 0].item() == 10
    assert chosen_sum("dot_product", x, x, g, u, k=1, key_mask=mask)[0, 0].item() == 5
    assert chosen_keys(u, 1, kept=mask)[0].tolist() == [[[False, True, False]]]
