"""The Triton kernels by Triton's interpreter, on a CPU: run by test_kernels.py in a process of its own.

That process has TRITON_INTERPRET=1 from its start, since every form then takes the kernels for CPU operands too.
"""

import itertools
import sys

import torch

from functional.operands import Operands, make, ours, with_the_matrix
from nonlocalnet.functional import kernels, softmax_chunks

UNIT = {torch.float32: 2**-20, torch.float16: 2**-11, torch.bfloat16: 2**-8}
SHAPES = [(1, 1, 1, 1, 1), (2, 5, 7, 3, 4), (3, 130, 65, 17, 33), (1, 70, 150, 64, 64), (2, 33, 129, 40, 130)]
FORMS = {"embedded_gaussian": "chunks", "gaussian": "chunks", "concatenation": "fused", "dot_product": "half, factored"}


def bound(pairwise: str, made: Operands, unit: float) -> torch.Tensor:
    """4 u sum_j |w_ij| |g_j|, on the same rounded operands."""
    absolute = Operands(made.theta, made.phi, made.g.abs(), made.w_f, made.key_mask)
    if pairwise == "dot_product":
        absolute = Operands(made.theta.abs(), made.phi.abs(), made.g.abs(), made.w_f, made.key_mask)
    return 4 * unit * with_the_matrix(pairwise, absolute)


def gradient_bounds(pairwise: str, made: Operands, upstream: torch.Tensor, unit: float) -> list[torch.Tensor]:
    """4 u times what each gradient's sums come to with the absolute value of every product, on the same operands."""
    theta, phi, g, w_f = (part.detach().abs() for part in (made.theta, made.phi, made.g, made.w_f))
    keep = torch.ones(g.shape[:2], dtype=torch.bool) if made.key_mask is None else made.key_mask
    count = keep.sum(1).clamp(min=1)[:, None, None]
    of_weights = upstream.abs() @ g.mT * keep[:, None]
    channels = theta.shape[2]
    if pairwise == "concatenation":
        a, b = theta @ w_f[:channels], phi @ w_f[channels:]
        weights, of_logits = (a[:, :, None] + b[:, None]) / count, of_weights / count
        over_keys, over_queries = of_logits.sum(2)[:, :, None], of_logits.sum(1)[:, :, None]
        of_w_f = torch.cat([(over_keys * theta).sum((0, 1)), (over_queries * phi).sum((0, 1))])
        gradients = [over_keys * w_f[:channels], over_queries * w_f[channels:], of_w_f]
    else:
        if pairwise == "dot_product":
            weights, of_logits = theta @ phi.mT / count, of_weights / count
        else:
            weights = (made.theta @ made.phi.mT).detach().exp() * keep[:, None]
            weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-300)
            of_logits = weights * (of_weights + (weights * of_weights).sum(-1, keepdim=True))
        gradients = [of_logits @ phi, of_logits.mT @ theta]
    gradients.insert(2, (weights * keep[:, None]).mT @ upstream.abs())
    return [4 * unit * gradient for gradient in gradients]


def check(pairwise: str, shape: tuple[int, ...], dtype: torch.dtype, *, masked: bool) -> None:
    made = make(*shape, masked=masked)
    made.theta *= shape[3] ** -0.5
    made = made.to(dtype).requires_grad()
    exact = made.to(torch.float64)
    exact = Operands(*(p.detach() for p in (exact.theta, exact.phi, exact.g, exact.w_f)), made.key_mask).requires_grad()
    result = ours(pairwise, made, form=FORMS[pairwise])
    expected = with_the_matrix(pairwise, exact)
    error = (result.double() - expected).abs()
    assert (error <= bound(pairwise, exact, UNIT[dtype]) + 1e-6).all(), (pairwise, shape, dtype, masked, error.max())
    upstream = torch.randn(expected.shape, dtype=torch.float64)
    gradients = torch.autograd.grad(result, made.arguments(pairwise), upstream.to(dtype))
    wanted = torch.autograd.grad(expected, exact.arguments(pairwise), upstream.to(dtype).double())
    bounds = gradient_bounds(pairwise, exact, upstream.to(dtype).double(), UNIT[dtype])
    for gradient, other, most in zip(gradients, wanted, bounds, strict=True):
        assert gradient.dtype == dtype
        error = (gradient.double() - other).abs()
        assert (error <= most + 1e-6).all(), (pairwise, shape, dtype, masked, (error / (most + 1e-6)).max())


def check_one_operand(pairwise: str) -> None:
    """One tensor as every operand: the same first derivative whether or not its graph is kept."""
    made = make(2, 6, 6, 3, 3, dtype=torch.float32).requires_grad()
    x, w_f = made.phi, made.w_f
    y = ours(pairwise, Operands(x, x, x, w_f), form=FORMS[pairwise])
    asked = [x, w_f] if pairwise == "concatenation" else [x]
    plain = torch.autograd.grad(y.square().sum(), asked, retain_graph=True)
    for kept, of in zip(torch.autograd.grad(y.square().sum(), asked, create_graph=True), plain, strict=True):
        torch.testing.assert_close(kept.detach(), of)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    assert kernels.run_on("cpu", None)
    forms = sys.argv[1].split(",")
    for pairwise, shape, masked in itertools.product(forms, SHAPES, (False, True)):
        for dtype in (torch.float32, torch.float16, torch.bfloat16):
            check(pairwise, shape, dtype, masked=masked)
    for pairwise in forms:
        check_one_operand(pairwise)
    softmax_chunks.CHUNK_WEIGHTS = 100  # several chunks, in both directions
    for pairwise, masked in itertools.product(set(forms) & {"gaussian", "embedded_gaussian"}, (False, True)):
        check(pairwise, (3, 20, 9, 8, 8), torch.float16, masked=masked)
    print("checked")


if __name__ == "__main__":
    main()
