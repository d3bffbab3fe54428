"""Half precision, autocast, large numbers and long sums."""

import pytest
import torch

from functional.operands import Operands, by_loops, make, ours, with_the_matrix
from nonlocalnet import functional
from nonlocalnet.functional.relu_sums import relu_sum

HALF = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_is_the_float32_result_rounded(pairwise: str, dtype: torch.dtype) -> None:
    """Against the loops on the same rounded operands only the last rounding may differ."""
    made = make(dtype=dtype, masked=True)
    result = ours(pairwise, made)
    assert result.dtype == dtype
    expected = by_loops(pairwise, made)
    tolerance = torch.finfo(dtype).eps
    torch.testing.assert_close(result.double(), expected, rtol=tolerance, atol=tolerance * 1e-2)


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize("dtype", HALF)
def test_half_precision_gradients(pairwise: str, dtype: torch.dtype) -> None:
    made = make(dtype=dtype, masked=True).requires_grad()
    single = Operands(*(part.detach().float() for part in (made.theta, made.phi, made.g, made.w_f)), made.key_mask)
    single.requires_grad()
    gradients = torch.autograd.grad(ours(pairwise, made).sum(), made.arguments(pairwise))
    expected = torch.autograd.grad(ours(pairwise, single).sum(), single.arguments(pairwise))
    for gradient, other in zip(gradients, expected, strict=True):
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient.float(), other, rtol=torch.finfo(dtype).eps, atol=1e-5)


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize("dtype", HALF)
def test_intermediates_beyond_float16_do_not_overflow(pairwise: str, dtype: torch.dtype) -> None:
    """Logits of 500,000, and sums of 40,000: the textbook form in float16 gives inf and NaN, the result fits."""
    made = make(1, 3, 400, 64, 4)
    theta, phi, g = made.theta.sign() * 100, made.phi.sign() * 100, made.g.clamp(-1, 1)
    if pairwise == "dot_product":
        theta = theta * 1e-4
    if pairwise == "concatenation":
        made.w_f = made.w_f.abs() * 100
        g = g * 1e-2
    big = Operands(theta, phi, g, made.w_f).to(dtype).requires_grad()
    logits = big.theta.float() @ big.phi.float().mT
    if pairwise != "dot_product":
        assert logits.abs().max() > 65504 or pairwise == "concatenation"
    result = ours(pairwise, big)
    assert result.isfinite().all()
    for gradient in torch.autograd.grad(result.sum() * 1e-3, big.arguments(pairwise)):
        assert not gradient.isnan().any()


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize("dtype", HALF)
def test_autocast_computes_in_the_operands_own_precision(pairwise: str, dtype: torch.dtype) -> None:
    made = make(dtype=torch.float32).requires_grad()
    expected = ours(pairwise, made)
    with torch.autocast("cpu", dtype=dtype):
        result = ours(pairwise, made)
    assert result.dtype == torch.float32
    assert torch.equal(result, expected)
    gradients = torch.autograd.grad(result.sum(), made.arguments(pairwise))
    outside = torch.autograd.grad(expected.sum(), made.arguments(pairwise))
    for one, other in zip(gradients, outside, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
def test_autocast_mixes_dtypes(pairwise: str) -> None:
    """As a block does: convolutions give half precision beside the float32 input (Gaussian) or weight (w_f)."""
    made = make(dtype=torch.float32)
    mixed = Operands(made.theta, made.phi, made.g.half(), made.w_f)
    with torch.autocast("cpu", dtype=torch.float16):
        result = ours(pairwise, mixed)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), by_loops(pairwise, mixed), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pairwise", ["gaussian", "embedded_gaussian"])
def test_logits_beyond_the_exponential_do_not_overflow(pairwise: str) -> None:
    made = make(dtype=torch.float64).requires_grad()
    result = ours(pairwise, made, scale=1e6)
    winner = (made.theta @ made.phi.mT).argmax(-1)
    torch.testing.assert_close(result, made.g.gather(1, winner[:, :, None].expand(-1, -1, 4)))
    for gradient in torch.autograd.grad(result.sum(), made.arguments(pairwise)):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_concatenation_keeps_its_digits_over_long_sums(offset: float) -> None:
    """200,000 float32 keys of spread 1 at +offset against rows at -offset.

    The obvious a_i sum g + sum b g subtracts numbers a thousand times their difference there.
    """
    torch.manual_seed(0)
    a = torch.randn(1, 200, dtype=torch.float32) - offset
    b = torch.randn(1, 200_000, dtype=torch.float32) + offset
    g = torch.randn(1, 200_000, 2, dtype=torch.float32)
    result = relu_sum(a, b, g).double()
    expected = torch.relu(a.double()[:, :, None] + b.double()[:, None]) @ g.double()
    assert (result - expected).abs().max() <= 3e-6 * expected.abs().max()


@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
def test_float32_gradients_at_size(pairwise: str) -> None:
    made = make(1, 700, 600, 32, 48).requires_grad()
    made.theta.data *= 0.3
    single = made.to(torch.float32)
    single = Operands(*(part.detach() for part in (single.theta, single.phi, single.g, single.w_f))).requires_grad()
    expected = torch.autograd.grad(with_the_matrix(pairwise, made).square().sum(), made.arguments(pairwise))
    gradients = torch.autograd.grad(ours(pairwise, single).square().sum(), single.arguments(pairwise))
    for gradient, other in zip(gradients, expected, strict=True):
        assert (gradient.double() - other).abs().max() <= 1e-4 * other.abs().max()
