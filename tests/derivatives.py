"""First and second derivatives of a function, in every way that PyTorch asks for them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck


def check_derivatives(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
    """Both derivatives against differences, and what neither check asks: the first while its graph is kept.

    `gradcheck` keeps no graph, and `gradgradcheck` compares the second with differences of a first that is as wrong.
    """
    inputs = tuple(inputs)
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)
    y = function(*inputs)
    upstream = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(0))
    asked = [one for one in inputs if one.requires_grad]
    plain = torch.autograd.grad(function(*inputs), asked, upstream)
    for kept, of in zip(torch.autograd.grad(y, asked, upstream, create_graph=True), plain, strict=True):
        torch.testing.assert_close(kept.detach(), of, rtol=1e-9, atol=1e-10)
