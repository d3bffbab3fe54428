"""The block's 1x1 convolutions are PyTorch's, however they are computed."""

import pytest
import torch
from torch import nn

from derivatives import check_derivatives
from nonlocalnet import NonLocalBlock
from nonlocalnet.block.pointwise import POINTWISE

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POSITIONS = {1: (11,), 2: (3, 5), 3: (2, 3, 5)}


def _pair(ndim: int, dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    ours = POINTWISE[ndim](6, 4, 1).to(dtype)
    theirs = CONVOLUTION[ndim](6, 4, 1).to(dtype)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("layout", ["contiguous", "channels last", "every second position"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_is_the_convolution_forward_and_gradient(ndim: int, layout: str, dtype: torch.dtype, batch: int) -> None:
    ours, theirs = _pair(ndim, dtype)
    x = torch.randn(batch, 6, *POSITIONS[ndim], dtype=dtype)
    if layout == "channels last":
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    elif layout == "every second position":
        x = x[..., ::2]
    results = []
    for convolution in (ours, theirs):
        leaf = x.detach().requires_grad_()
        z = convolution(leaf)
        results.append((z, *torch.autograd.grad(z.square().sum(), (leaf, *convolution.parameters()))))
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 5e-2}[dtype]
    for value, right in zip(*results, strict=True):
        torch.testing.assert_close(value, right, rtol=tolerance, atol=tolerance)


def test_second_derivative_and_vmap() -> None:
    ours, theirs = _pair(1, torch.float64)
    x = torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True)
    check_derivatives(lambda x: ours(x).sin(), (x,))
    many = torch.randn(4, 2, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(torch.func.vmap(ours)(many), torch.stack([theirs(one) for one in many]))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_what_others_see_is_a_convolution(ndim: int) -> None:
    block = NonLocalBlock(6, ndim=ndim)
    assert all(isinstance(module, CONVOLUTION[ndim]) for module in (block.theta, block.phi, block.g, block.out))
    seen = []
    block.g.register_forward_hook(lambda *_: seen.append("hook"))
    block(torch.randn(1, 6, *POSITIONS[ndim]))
    assert seen == ["hook"]


def test_a_traced_one_is_a_convolution() -> None:
    ours, _ = _pair(1, torch.float32)
    program = torch.export.export(ours, (torch.randn(1, 6, 5),))
    assert any("conv" in str(node.target) for node in program.graph.nodes)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*deprecated")
def test_a_trace_takes_other_batches_and_lengths() -> None:
    ours, theirs = _pair(1, torch.float32)
    traced = torch.jit.trace(ours, torch.randn(2, 6, 5))
    x = torch.randn(3, 6, 7)
    torch.testing.assert_close(traced(x), theirs(x))


def test_autocast_reaches_it() -> None:
    ours, _ = _pair(1, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ours(torch.randn(1, 6, 5)).dtype == torch.bfloat16
