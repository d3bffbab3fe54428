"""Sums over sorted keys, at once and in segments, against the pairs themselves."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from derivatives import check_derivatives
from nonlocalnet.functional import relu_sorted
from nonlocalnet.functional.relu_sorted import BLOCK, sorted_sums
from nonlocalnet.functional.relu_sums import relu_sum


def pair_by_pair(a: Tensor, b: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    y, counted = (torch.zeros(*a.shape, g.shape[2], dtype=torch.float64) for _ in range(2))
    for e, i, j in torch.cartesian_prod(*(torch.arange(n) for n in (*a.shape, b.shape[1]))).tolist():
        pair = float(a[e, i] + b[e, j])
        if pair > 0:
            y[e, i] += pair * g[e, j]
            counted[e, i] += g[e, j]
    return y, counted


def operands(batch: int, queries: int, keys: int, *, seed: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of quarters, so that sums are exact and many are ties, pairs that add up to 0 among them."""
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randint(-steps, steps + 1, (batch, n), generator=generator) / 4 for n in (queries, keys))
    return a.double(), b.double(), torch.randint(-3, 4, (batch, keys, 2), generator=generator).double()


@settings(deadline=None, max_examples=25)
@given(
    batch=st.integers(1, 3),
    queries=st.integers(1, 20),
    keys=st.integers(1, 5 * BLOCK + 2),
    segment=st.sampled_from([1, 3, BLOCK - 1, BLOCK, BLOCK + 7]),
    seed=st.integers(0, 2**31),
    steps=st.sampled_from([1, 5, 1000]),
)
def test_segments_change_nothing(batch: int, queries: int, keys: int, segment: int, seed: int, steps: int) -> None:
    made = operands(batch, queries, keys, seed=seed, steps=steps)
    expected = pair_by_pair(*made)
    whole = sorted_sums(*made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relu_sorted, "SEGMENT", segment)
        parted = sorted_sums(*made)
        alone, nothing = sorted_sums(*made, both=False)
    for found in (whole, parted):
        for part, right in zip(found, expected, strict=True):
            torch.testing.assert_close(part, right, rtol=0, atol=1e-12)
    assert torch.equal(alone, parted[0])
    assert nothing.numel() == 0


def test_gradients_through_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relu_sorted, "SEGMENT", 10)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, n, generator=generator, dtype=torch.float64, requires_grad=True) for n in (30, 50))
    g = torch.randn(2, 50, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    check_derivatives(relu_sum, (a, b, g))


def test_large_numbers_beside_their_spread_lose_no_digits_from_segment_to_segment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relu_sorted, "SEGMENT", 512)
    generator = torch.Generator().manual_seed(0)
    a = 1000 + torch.rand(1, 200, generator=generator)
    b = -1000 - torch.rand(1, 20_000, generator=generator)
    g = 1 + torch.rand(1, 20_000, 3, generator=generator)
    pairs = (a.double().unsqueeze(2) + b.double().unsqueeze(1)).relu()
    expected = pairs @ g.double()
    y, counted = sorted_sums(a, b, g)
    assert ((y - expected).abs().max() / expected.abs().max()).item() < 1e-6
    torch.testing.assert_close(counted.double(), (pairs > 0).double() @ g.double(), rtol=1e-6, atol=1e-6)
