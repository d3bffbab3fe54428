"""PyTorch's flash attention for CPUs, the form of the Gaussian functions where C = D."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from derivatives import check_derivatives
from functional.operands import Operands, by_loops, make, ours, with_the_matrix
from nonlocalnet import functional

FORM = "flash on a CPU"
FORMS = ("gaussian", "embedded_gaussian")


@pytest.mark.parametrize("pairwise", FORMS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(2, 5, 7, 3, 3), (1, 1, 1, 1, 1), (3, 70, 33, 9, 9), (5, 600, 530, 2, 2)])
def test_equals_the_textbook_and_the_loops(pairwise: str, masked: bool, shape: tuple[int, ...]) -> None:
    made = make(*shape, masked=masked).requires_grad()
    result = ours(pairwise, made, form=FORM)
    if made.theta.numel() < 100:
        torch.testing.assert_close(result, by_loops(pairwise, made), rtol=1e-12, atol=1e-12)
    arguments = made.arguments(pairwise)
    upstream = torch.randn_like(result)
    textbook = with_the_matrix(pairwise, made)
    torch.testing.assert_close(result, textbook, rtol=1e-11, atol=1e-11)
    expected = torch.autograd.grad(textbook, arguments, upstream)
    for gradient, other in zip(torch.autograd.grad(result, arguments, upstream), expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_the_backward_pass_is_the_same_on_any_number_of_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another operator's where sets are few for the threads."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    made = make(2, 40, 30, 4, 4, masked=True).requires_grad()
    result = ours("embedded_gaussian", made, form=FORM)
    arguments = made.arguments("embedded_gaussian")
    expected = torch.autograd.grad(with_the_matrix("embedded_gaussian", made).square().sum(), arguments)
    for gradient, other in zip(torch.autograd.grad(result.square().sum(), arguments), expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-10, atol=1e-10)


def test_memory_in_any_order() -> None:
    """The kernels read channels that are not side by side wrongly."""
    made = make(2, 9, 8, 5, 5)
    expected = with_the_matrix("embedded_gaussian", made)
    for name in ("theta", "phi", "g"):
        other = make(2, 9, 8, 5, 5)
        setattr(other, name, getattr(other, name).mT.contiguous().mT)
        other.requires_grad()
        result = ours("embedded_gaussian", other, form=FORM)
        torch.testing.assert_close(result, expected)
        upstream = torch.randn(2, 5, 9, dtype=torch.float64).mT  # a gradient as a block hands it on
        arguments = other.arguments("embedded_gaussian")
        wanted = torch.autograd.grad(with_the_matrix("embedded_gaussian", other), arguments, upstream)
        for gradient, right in zip(torch.autograd.grad(result, arguments, upstream), wanted, strict=True):
            torch.testing.assert_close(gradient, right)


def test_large_logits_stay_finite() -> None:
    made = make(1, 6, 6, 4, 4, dtype=torch.float32)
    made.theta *= 1e4
    made.requires_grad()
    result = ours("embedded_gaussian", made, form=FORM)
    assert result.isfinite().all()
    assert all(one.isfinite().all() for one in torch.autograd.grad(result.sum(), made.arguments("gaussian")))


def test_differentiates_twice_and_under_func() -> None:
    made = make(2, 5, 7, 3, 3, masked=True).requires_grad()

    def flash(*parts: torch.Tensor) -> torch.Tensor:
        return ours("embedded_gaussian", Operands(*parts, made.w_f, made.key_mask), form=FORM)

    check_derivatives(flash, made.arguments("gaussian"))
    by_func = torch.func.grad(lambda theta: flash(theta, made.phi, made.g).square().sum())(made.theta)
    (by_autograd,) = torch.autograd.grad(flash(*made.arguments("gaussian")).square().sum(), made.theta)
    torch.testing.assert_close(by_func, by_autograd)


def test_flops_are_counted() -> None:
    made = make(2, 50, 40, 4, 4).requires_grad()
    with FlopCounterMode(display=False) as counter:
        ours("embedded_gaussian", made, form=FORM).sum().backward()
    assert counter.get_total_flops() == 2 * 2 * 50 * 40 * (2 + 5) * 4


def test_is_what_a_cpu_takes() -> None:
    assert functional.algorithm("gaussian", positions=5, keys=7, channels=4).form == FORM
    assert functional.algorithm("gaussian", positions=5, keys=7, channels=4, width=2).form == "blocks"
    assert functional.algorithm("gaussian", positions=0, keys=7, channels=4).form == "blocks"
