"""FlopCounterMode sees every product: it counts two operations per multiply-add."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from functional.operands import make, ours

B, N, M, C, D = 2, 50, 40, 3, 4


def _multiply_adds(pairwise: str, *, backward: bool = False) -> float:
    made = make(B, N, M, C, D).requires_grad()
    result = None if not backward else ours(pairwise, made).sum()
    with FlopCounterMode(display=False) as counter:
        if result is None:
            ours(pairwise, made)
        else:
            result.backward()
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("pairwise", ["gaussian", "embedded_gaussian"])
def test_softmax_forms_count_both_products(pairwise: str) -> None:
    assert _multiply_adds(pairwise) == B * N * M * (C + D)
    assert _multiply_adds(pairwise, backward=True) == B * N * M * (3 * C + 2 * D)


def test_dot_product_counts_the_order_it_takes() -> None:
    assert _multiply_adds("dot_product") == B * (N + M) * C * D


def test_concatenation_counts_prefix_sums_and_reads() -> None:
    """a and b (not counted by PyTorch: a matrix times a vector), two prefix sums over M x D, two reads for N x D."""
    assert _multiply_adds("concatenation") == pytest.approx(B * 2 * (N + M) * D, abs=B * (N + M) * C)


def test_on_meta_tensors() -> None:
    made = make(B, N, M, C, D)
    with FlopCounterMode(display=False) as counter:
        ours("embedded_gaussian", type(made)(*(p.to("meta") for p in (made.theta, made.phi, made.g, made.w_f))))
    assert counter.get_total_flops() == 2 * B * N * M * (C + D)
    assert torch.ops.nonlocalnet.softmax_sum in counter.flop_registry
