"""A fresh block is the identity; a block made with zero_init=False is not."""

import itertools

import pytest
import torch
from torch import nn

from block.making import random_input, random_mask
from nonlocalnet.block import NonLocalBlock
from nonlocalnet.functional import PAIRWISE


@pytest.mark.parametrize(("pairwise", "ndim", "norm"), [*itertools.product(PAIRWISE, (1, 2, 3), ("batch", None))])
@pytest.mark.parametrize("subsample", [None, 2])
def test_identity_at_initialisation(pairwise, ndim, norm, subsample):
    block = NonLocalBlock(6, ndim=ndim, pairwise=pairwise, norm=norm, subsample=subsample)
    x = 50 * random_input(6, ndim).float()
    for mode, key_mask in itertools.product((True, False), (None, random_mask(x))):
        assert torch.equal(block.train(mode)(x, key_mask=key_mask), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_identity_in_other_dtypes(dtype, pairwise):
    block, x = NonLocalBlock(6, pairwise=pairwise).to(dtype), random_input(6).to(dtype)
    z = block(x)
    assert z.dtype == dtype
    assert torch.equal(z, x)


@pytest.mark.parametrize("options", [{"domain": "space"}, {"domain": "time"}, {"temporal_group_frames": 2}])
def test_identity_in_every_domain(options):
    x = random_input().float()
    assert torch.equal(NonLocalBlock(4, **options)(x), x)


@pytest.mark.parametrize("norm", ["batch", None])
def test_fresh_block_learns_to_leave_the_identity(norm):
    block, x = NonLocalBlock(4, ndim=2, norm=norm), random_input(ndim=2).float()
    optimiser = torch.optim.SGD(block.parameters(), lr=1.0)
    for _ in range(2):
        optimiser.zero_grad()
        block(x).square().mean().backward()
        optimiser.step()
    assert not torch.equal(block(x), x)
    assert all(parameter.grad.abs().sum() > 0 for name, parameter in block.named_parameters() if name == "g.weight")


@pytest.mark.parametrize("norm", ["batch", None])
def test_zero_init_false_is_not_the_identity(norm):
    block, x = NonLocalBlock(64, ndim=2, norm=norm, zero_init=False), random_input(64, 2).float()
    assert not torch.equal(block(x), x)
    assert block.out.weight.std().item() == pytest.approx(0.01, rel=0.1)
    if norm == "batch":
        assert torch.equal(block.norm.weight, torch.ones(64))


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_initialisation_of_the_release(pairwise):
    """[C2]: convolutions N(0, 0.01), biases 0; BatchNorm eps 1e-5, momentum 0.1, scale 0."""
    block = NonLocalBlock(256, ndim=2, pairwise=pairwise)
    convolutions = {name: child for name, child in block.named_children() if isinstance(child, nn.Conv2d)}
    assert set(convolutions) == ({"g", "out"} if pairwise == "gaussian" else {"theta", "phi", "g", "out"})
    for convolution in convolutions.values():
        assert convolution.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert convolution.weight.mean().item() == pytest.approx(0.0, abs=5e-4)
        assert not convolution.bias.any()
    assert (block.norm.eps, block.norm.momentum) == (1e-5, 0.1)
    assert not block.norm.weight.any()
    assert (block.w_f is not None) == (pairwise == "concatenation")
    if block.w_f is not None:
        assert block.w_f.shape == (256,)
        assert block.w_f.std().item() == pytest.approx(0.01, rel=0.2)


def test_without_norm_the_last_convolution_is_zero():
    block = NonLocalBlock(8, norm=None)
    assert block.norm is None
    assert not block.out.weight.any()
    assert not block.out.bias.any()


def test_parameter_count_of_the_release():
    """Five blocks add 31,686,096 - 24,327,632 parameters to C2D-50: 2 on 512 channels and 3 on 1024 ([C2])."""
    blocks = [NonLocalBlock(512) for _ in range(2)] + [NonLocalBlock(1024) for _ in range(3)]
    assert sum(p.numel() for block in blocks for p in block.parameters()) == 31_686_096 - 24_327_632
