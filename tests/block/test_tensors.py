"""Precision, memory formats, gradients and copies of the block."""

import copy

import pytest
import torch
from torch import nn

from block.making import random_block, random_input
from nonlocalnet.block import LearnedPositions, NonLocalBlock
from nonlocalnet.functional import PAIRWISE

POOLING = [{}, {"subsample": 2}, {"subsample": 2, "subsample_first": True}]


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pooling", POOLING)
def test_autocast(pairwise, dtype, pooling):
    block, x = random_block(pairwise=pairwise, **pooling).float(), random_input().float()
    exact = block(x)
    with torch.autocast("cpu", dtype=dtype):
        z = block(x)
    assert z.dtype == torch.float32
    torch.testing.assert_close(z, exact, rtol=0.05, atol=0.1)
    z.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_parameters(pairwise, dtype):
    block, x = random_block(pairwise=pairwise), random_input()
    z = copy.deepcopy(block).to(dtype)(x.to(dtype))
    assert z.dtype == dtype
    torch.testing.assert_close(z.double(), block(x), rtol=0.05, atol=0.1)


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("pooling", POOLING)
@pytest.mark.parametrize(("ndim", "memory_format"), [(2, torch.channels_last), (3, torch.channels_last_3d)])
def test_channels_last_inputs_keep_their_format(pairwise, pooling, ndim, memory_format):
    block, x = random_block(ndim=ndim, pairwise=pairwise, **pooling), random_input(ndim=ndim)
    plain = block(x)
    z = block.to(memory_format=memory_format)(x.to(memory_format=memory_format))
    torch.testing.assert_close(z, plain)
    assert plain.is_contiguous()
    assert z.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("options", [{"subsample": 2}, {"domain": "time"}, {"temporal_group_frames": 2}])
def test_gradients(pairwise, options):
    block = random_block(2, pairwise=pairwise, **options)
    x = torch.randn(1, 2, 2, 2, 3, dtype=torch.double, requires_grad=True)
    names = [name for name, _ in block.named_parameters()]

    def output(x, *parameters):
        return torch.func.functional_call(block, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(output, (x, *(p.detach().requires_grad_() for p in block.parameters())))


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("options", [{}, {"subsample": 2}, {"window": 3}, {"subsample": LearnedPositions(3)}], ids=str)
def test_torch_func_gives_the_gradients_of_autograd(pairwise, causal, options):
    if causal and isinstance(options.get("subsample"), LearnedPositions) and torch.__version__.startswith("2.7."):
        pytest.skip("PyTorch 2.7 shows no numbers of what torch.func wraps")
    block = random_block(4, ndim=1, pairwise=pairwise, causal=causal, norm=None, **options).eval()
    x = torch.randn(2, 4, 9, dtype=torch.double)

    def loss(parameters):
        return torch.func.functional_call(block, parameters, (x,)).square().sum()

    parameters = dict(block.named_parameters())
    expected = torch.autograd.grad(loss(parameters), list(parameters.values()))
    found = torch.func.grad(loss)({name: of.detach() for name, of in parameters.items()})
    torch.testing.assert_close(list(found.values()), list(expected))


def test_the_sum_is_not_in_place():
    """An in-place residual would break the backward of what made x: a ReLU needs its output."""
    block, x = random_block(ndim=2), random_input(ndim=2).requires_grad_()
    activated = nn.functional.relu(x)
    before = activated.clone()
    nn.functional.relu(block(activated), inplace=True).sum().backward()
    assert torch.equal(activated, before)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_state_dict_round_trip(pairwise):
    block, x = random_block(pairwise=pairwise), random_input()
    other = NonLocalBlock(4, pairwise=pairwise).double().eval()
    other.load_state_dict(block.state_dict())
    assert torch.equal(other(x), block(x))
    assert torch.equal(copy.deepcopy(block)(x), block(x))


def test_sync_batch_norm_conversion_keeps_the_block():
    block, x = random_block(), random_input()
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(block))
    assert isinstance(converted.norm, nn.SyncBatchNorm)
    assert torch.equal(converted(x), block(x))


def test_what_stands_in_the_place_of_g_needs_no_weight():
    """An adapter, or any module: the block asks its type only where it has one."""
    block = NonLocalBlock(4, ndim=1, norm=None)
    x = torch.randn(2, 4, 5)
    wanted = block(x)
    block.g = torch.nn.Sequential(block.g)
    assert torch.equal(block(x), wanted)


def test_another_dtype_than_the_weights():
    block = NonLocalBlock(4, ndim=1, norm=None)
    for dtype in (torch.float64, torch.float16):
        with pytest.raises(ValueError, match=f"has weights of torch.float32, got x of {dtype}: convert one of them"):
            block(torch.randn(2, 4, 5).to(dtype))
    with torch.autocast("cpu", torch.bfloat16):
        assert block(torch.randn(2, 4, 5).bfloat16()).shape == (2, 4, 5)
        with pytest.raises(ValueError, match=r"got x of torch.float64"):  # which autocast leaves as it is
            block(torch.randn(2, 4, 5).double())
