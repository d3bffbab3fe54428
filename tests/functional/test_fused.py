"""The fused path, which CUDA takes, by its chunks on a CPU; and on a GPU where there is one."""

import pytest
import torch

from derivatives import check_derivatives
from functional.operands import Operands, by_loops, make, ours, with_the_matrix
from nonlocalnet import functional
from nonlocalnet.functional.masking import logit_bias, zero_masked
from nonlocalnet.functional.softmax_fused import Kernel, fused_softmax_sum


def _fused(made: Operands, kernel: Kernel) -> torch.Tensor:
    bias = logit_bias(made.key_mask, dtype=torch.float64)
    g = zero_masked(made.g, made.key_mask)
    return fused_softmax_sum(made.theta, zero_masked(made.phi, made.key_mask), g, bias, 1.0, kernel=kernel)


@pytest.mark.parametrize(
    ("kernel", "values", "masked"),
    [("chunks", 3, False), ("chunks", 4, False), ("chunks", 3, True), ("chunks", 4, True)],
)
@pytest.mark.parametrize("chunk_weights", [10**7, 70, 30, 8])
def test_equals_the_loops_and_the_textbook_gradients(
    kernel: Kernel, values: int, masked: bool, chunk_weights: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nonlocalnet.functional.softmax_chunks.CHUNK_WEIGHTS", chunk_weights)
    made = make(3, values=values, masked=masked).requires_grad()
    result = _fused(made, kernel)
    torch.testing.assert_close(result, by_loops("embedded_gaussian", made), rtol=1e-10, atol=1e-10)
    arguments = made.arguments("embedded_gaussian")
    upstream = torch.randn_like(result)
    expected = torch.autograd.grad(with_the_matrix("embedded_gaussian", made), arguments, upstream)
    for gradient, other in zip(torch.autograd.grad(result, arguments, upstream), expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-10, atol=1e-10)


def test_differentiates_twice() -> None:
    made = make(masked=True).requires_grad()

    def fused(*parts: torch.Tensor) -> torch.Tensor:
        return _fused(Operands(*parts, made.w_f, made.key_mask), "chunks")

    check_derivatives(fused, made.arguments("gaussian"))


@pytest.mark.gpu
@pytest.mark.parametrize("pairwise", functional.PAIRWISE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("channels", "values", "masked"), [(64, 64, False), (256, 256, True), (512, 512, False), (5, 9, True)]
)
def test_on_a_gpu(pairwise: str, dtype: torch.dtype, channels: int, values: int, masked: bool) -> None:
    made = make(2, 60, 70, channels, values, masked=masked)
    made.theta *= channels**-0.5
    made = made.to(dtype)
    mask = None if made.key_mask is None else made.key_mask.cuda()
    there = Operands(*(part.cuda() for part in (made.theta, made.phi, made.g, made.w_f)), mask).requires_grad()
    result = ours(pairwise, there)
    tolerance = 1e-4 if dtype == torch.float32 else 4 * torch.finfo(dtype).eps
    expected = with_the_matrix(pairwise, made.to(torch.float64))
    assert (result.cpu().double() - expected).abs().max() <= tolerance * expected.abs().max()
    gradients = torch.autograd.grad(result.sum(), there.arguments(pairwise), create_graph=True)
    torch.autograd.grad(sum(one.float().square().sum() for one in gradients), there.g)
