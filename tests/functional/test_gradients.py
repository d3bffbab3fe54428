"""First and second derivatives, ties, and what left-out positions may hold."""

import pytest
import torch

from derivatives import check_derivatives
from functional.operands import Operands, make, ours, with_the_matrix
from nonlocalnet import functional
from nonlocalnet.functional.relu_sums import relu_sum

# Every form that a CPU has, whatever it takes for small operands by itself.
FORMS = [
    *(("embedded_gaussian", form) for form in ("chunks", "matrix", "flash on a CPU", "blocks")),
    *(("dot_product", form) for form in ("half, matrix", "half, factored", "matrix", "factored")),
    *(("concatenation", form) for form in ("matrix", "sorted")),
]


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck_and_gradgradcheck(pairwise: str, masked: bool) -> None:
    made = make(masked=masked).requires_grad()

    def function(*parts: torch.Tensor) -> torch.Tensor:
        return ours(pairwise, Operands(*parts[:3], parts[-1], made.key_mask))

    check_derivatives(function, made.arguments(pairwise))


@pytest.mark.parametrize(("pairwise", "form"), FORMS)
def test_one_tensor_may_be_every_operand(pairwise: str, form: str) -> None:
    made = make(rows=6, keys=6, channels=3, values=3)
    x, w_f = made.phi.requires_grad_(), made.w_f.requires_grad_()

    def function(x: torch.Tensor, w_f: torch.Tensor) -> torch.Tensor:
        return ours(pairwise, Operands(x, x, x, w_f), form=form)

    torch.testing.assert_close(function(x, w_f), with_the_matrix(pairwise, Operands(x, x, x, w_f)))
    check_derivatives(function, (x, w_f) if pairwise == "concatenation" else (x, w_f.detach()))


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize("shape", [(2, 50, 90, 3, 4), (1, 90, 50, 1, 1), (3, 1, 40, 2, 5), (3, 40, 1, 2, 5)])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_equal_the_textbook_forms(
    pairwise: str, shape: tuple[int, ...], masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nonlocalnet.functional.softmax_blocks.BLOCK_WEIGHTS", 500)  # several blocks
    monkeypatch.setattr("nonlocalnet.functional.softmax_blocks.LEAST_ROWS", 8)
    made = make(*shape, masked=masked).requires_grad()
    arguments = made.arguments(pairwise)
    result = ours(pairwise, made)
    upstream = torch.randn_like(result)
    gradients = torch.autograd.grad(result, arguments, upstream)
    expected = torch.autograd.grad(with_the_matrix(pairwise, made), arguments, upstream)
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-10, atol=1e-10)


def test_concatenation_gradient_at_ties_is_that_of_torch_relu() -> None:
    """a_i = -b_j for many pairs: the derivative of ReLU at 0 is torch.relu's, 0."""
    values = torch.tensor([[-2.0, -1.0, -1.0, 0.0, 0.0, 1.0, 2.0]], dtype=torch.float64)
    a, b = values.clone().requires_grad_(), (-values).requires_grad_()
    g = torch.randn(1, 7, 3, dtype=torch.float64)
    upstream = torch.randn(1, 7, 3, dtype=torch.float64)
    gradients = torch.autograd.grad(relu_sum(a, b, g), (a, b), upstream)
    expected = torch.autograd.grad(torch.relu(a[:, :, None] + b[:, None]) @ g, (a, b), upstream)
    for gradient, other in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-12, atol=1e-12)
    # The test can fail: counting ties gives other numbers.
    counting_ties = ((a[:, :, None] + b[:, None] >= 0).double() * (upstream @ g.mT)).sum(2)
    assert not torch.allclose(gradients[0], counting_ties)


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
def test_nothing_kept_gives_zeros_with_zero_gradients(pairwise: str) -> None:
    made = make().requires_grad()
    made.key_mask = torch.zeros(2, 7, dtype=torch.bool)
    result = ours(pairwise, made)
    assert torch.equal(result, torch.zeros_like(result))
    for gradient in torch.autograd.grad(result.sum(), made.arguments(pairwise)):
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize("garbage", [float("nan"), float("inf")])
def test_left_out_positions_may_hold_anything(pairwise: functional.Pairwise, garbage: float) -> None:
    clean = make(masked=True)
    assert clean.key_mask is not None
    left_out = ~clean.key_mask[:, :, None]
    dirty = Operands(
        clean.theta,
        clean.phi.masked_fill(left_out, garbage),
        clean.g.masked_fill(left_out, garbage),
        clean.w_f,
        clean.key_mask,
    ).requires_grad()
    result = ours(pairwise, dirty)
    torch.testing.assert_close(result, ours(pairwise, clean), rtol=0, atol=0)
    for gradient in torch.autograd.grad(result.square().sum(), dirty.arguments(pairwise)):
        assert gradient.isfinite().all()
    w_f = dirty.w_f if pairwise == "concatenation" else None
    assert functional.affinity(pairwise, dirty.theta, dirty.phi, w_f=w_f, key_mask=dirty.key_mask).isfinite().all()


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
def test_no_rows_or_no_batch_gives_an_empty_result(pairwise: str) -> None:
    for batch, rows in ((0, 5), (2, 0)):
        made = make(batch, rows).requires_grad()
        result = ours(pairwise, made)
        assert result.shape == (batch, rows, 4)
        for gradient in torch.autograd.grad(result.sum(), made.arguments(pairwise)):
            assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
def test_only_some_operands_require_gradients(pairwise: str) -> None:
    made = make()
    made.g.requires_grad_()
    (gradient,) = torch.autograd.grad(ours(pairwise, made).sum(), made.g)
    (expected,) = torch.autograd.grad(with_the_matrix(pairwise, made).sum(), made.g)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("masked", [False, True])
def test_few_positions_of_concatenation_differentiate_twice(masked: bool) -> None:
    made = make(masked=masked).requires_grad()

    def function(*parts: torch.Tensor) -> torch.Tensor:
        return functional.concatenation(*parts, key_mask=made.key_mask)

    check_derivatives(function, made.arguments("concatenation"))
