"""Every function equals the paper's equations written as loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from functional.operands import Operands, by_loops, make, ours
from nonlocalnet import functional

sizes = st.integers(1, 6)


@st.composite
def operands(draw: st.DrawFn) -> Operands:
    made = make(*(draw(sizes) for _ in range(5)), seed=draw(st.integers(0, 2**32 - 1)))
    batch, keys, _ = made.phi.shape
    kind = draw(st.sampled_from(["none", "some", "all"]))
    if kind == "some":
        flags = draw(st.lists(st.booleans(), min_size=batch * keys, max_size=batch * keys))
        made.key_mask = torch.tensor(flags).view(batch, keys)
    elif kind == "all":
        made.key_mask = torch.zeros(batch, keys, dtype=torch.bool)
    if draw(st.booleans()):  # ties: small whole numbers make a_i = -b_j, a_i = a_k and b_j = b_k common
        made = Operands(*(part.round() for part in (made.theta, made.phi, made.g, made.w_f)), made.key_mask)
    return made


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@settings(deadline=None)
@given(made=operands())
def test_float64_within_1e_minus_10(pairwise: str, made: Operands) -> None:
    torch.testing.assert_close(ours(pairwise, made), by_loops(pairwise, made), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@settings(deadline=None)
@given(made=operands())
def test_float32_within_1e_minus_4_relative(pairwise: str, made: Operands) -> None:
    single = made.to(torch.float32)
    expected = by_loops(pairwise, single)
    result = ours(pairwise, single)
    assert result.dtype == torch.float32
    scale = max(1.0, expected.abs().max().item())
    assert (result.double() - expected).abs().max().item() <= 1e-4 * scale


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@settings(deadline=None)
@given(made=operands())
def test_few_positions_take_the_small_matrix(pairwise: str, made: Operands) -> None:
    result = ours(pairwise, made, form="matrix")
    torch.testing.assert_close(result, by_loops(pairwise, made), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("keys", [30, 31, 32, 33, 63, 64, 65, 130])
def test_concatenation_across_the_edges_of_its_blocks(keys: int) -> None:
    made = make(2, 40, keys, 2, 3)
    torch.testing.assert_close(ours("concatenation", made), by_loops("concatenation", made), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pairwise", ["gaussian", "embedded_gaussian"])
@pytest.mark.parametrize(("rows", "keys", "batch"), [(70, 9, 3), (9, 70, 5), (1, 1, 7)])
def test_softmax_forms_across_the_edges_of_their_blocks(
    pairwise: str, rows: int, keys: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nonlocalnet.functional.softmax_blocks.BLOCK_WEIGHTS", 100)
    monkeypatch.setattr("nonlocalnet.functional.softmax_blocks.LEAST_ROWS", 4)
    made = make(batch, rows, keys, masked=True)
    torch.testing.assert_close(ours(pairwise, made), by_loops(pairwise, made), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pairwise", ["gaussian", "embedded_gaussian"])
def test_scale_multiplies_the_logits(pairwise: str) -> None:
    made = make()
    torch.testing.assert_close(ours(pairwise, made, scale=0.3), by_loops(pairwise, made, scale=0.3))
    assert not torch.allclose(ours(pairwise, made, scale=0.3), ours(pairwise, made))


@pytest.mark.parametrize(("rows", "keys"), [(2, 3), (40, 3), (3, 40), (40, 40)])
def test_dot_product_in_either_order_of_its_products(rows: int, keys: int) -> None:
    made = make(2, rows, keys, 8, 9, masked=True)
    torch.testing.assert_close(ours("dot_product", made), by_loops("dot_product", made), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize("masked", [False, True])
def test_strided_operands(pairwise: str, masked: bool) -> None:
    """The block hands over transposed feature maps."""
    made = make(masked=masked)
    strided = Operands(*(part.mT.contiguous().mT for part in (made.theta, made.phi, made.g)), made.w_f, made.key_mask)
    assert not strided.g.is_contiguous()
    torch.testing.assert_close(ours(pairwise, strided), by_loops(pairwise, made))


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize("masked", [False, True])
def test_affinity_is_what_multiplies_g(pairwise: functional.Pairwise, masked: bool) -> None:
    made = make(masked=masked)
    w_f = made.w_f if pairwise == "concatenation" else None
    weights = functional.affinity(pairwise, made.theta, made.phi, w_f=w_f, key_mask=made.key_mask)
    expected = reference.affinity(pairwise, made.theta, made.phi, w_f=w_f, key_mask=made.key_mask)
    torch.testing.assert_close(weights, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(weights @ made.g, ours(pairwise, made), rtol=1e-10, atol=1e-10)


def test_affinity_takes_the_scale_of_the_softmax_forms() -> None:
    made = make()
    weights = functional.affinity("embedded_gaussian", made.theta, made.phi, scale=0.5)
    torch.testing.assert_close(weights, reference.affinity("embedded_gaussian", made.theta, made.phi, scale=0.5))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 5, dtype=torch.float64))
