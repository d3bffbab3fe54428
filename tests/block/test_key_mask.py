"""What the left-out positions hold never reaches the kept ones."""

import itertools
import math

import pytest
import torch

from block.making import random_block, random_input, random_mask
from nonlocalnet.functional import PAIRWISE

POOLING = {
    "no pooling": {},
    "pooling after": {"subsample": 2},
    "pooling first": {"subsample": 2, "subsample_first": True},
}


def _differently_padded(x, key_mask, fill):
    return x.masked_fill(~key_mask.unsqueeze(1), fill)


@pytest.mark.parametrize(("pooling", "pairwise"), [*itertools.product(POOLING, PAIRWISE)])
@pytest.mark.parametrize("fill", [0.0, -1e4, 1e4, math.inf, math.nan])
def test_kept_positions_do_not_depend_on_the_padding(pooling, pairwise, fill):
    """Bit for bit: the left-out positions are replaced before pooling, not multiplied by zero after it."""
    block, x = random_block(ndim=2, pairwise=pairwise, **POOLING[pooling]), random_input(ndim=2)
    key_mask = random_mask(x)
    kept = key_mask.unsqueeze(1).expand_as(x)
    z, padded = block(x, key_mask=key_mask), block(_differently_padded(x, key_mask, fill), key_mask=key_mask)
    assert torch.equal(z[kept], padded[kept])
    assert z[kept].isfinite().all()


@pytest.mark.parametrize("pooling", POOLING)
def test_the_mask_is_needed(pooling):
    """The same comparison without the mask fails, so it can."""
    block, x = random_block(ndim=2, **POOLING[pooling]), random_input(ndim=2)
    key_mask = random_mask(x)
    kept = key_mask.unsqueeze(1).expand_as(x)
    assert not torch.equal(block(x)[kept], block(_differently_padded(x, key_mask, 1e4))[kept])


@pytest.mark.parametrize(("pooling", "pairwise"), [*itertools.product(POOLING, PAIRWISE)])
def test_a_mask_equals_a_smaller_map(pooling, pairwise):
    """A batch padded to a common size gives every image what it gets alone (whole windows are padded here)."""
    block, x = random_block(ndim=2, pairwise=pairwise, **POOLING[pooling]), torch.randn(1, 4, 4, 6).double()
    alone = block(x)
    padded = torch.full((1, 4, 8, 10), 7.0).double()
    padded[:, :, :4, :6] = x
    key_mask = torch.zeros(1, 8, 10, dtype=torch.bool)
    key_mask[:, :4, :6] = True
    torch.testing.assert_close(block(padded, key_mask=key_mask)[:, :, :4, :6], alone)


@pytest.mark.parametrize("pooling", POOLING)
@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_a_mask_that_keeps_all_changes_nothing(pooling, pairwise):
    block, x = random_block(ndim=2, pairwise=pairwise, **POOLING[pooling]), random_input(ndim=2)
    key_mask = torch.ones(2, 3, 5, dtype=torch.bool)
    torch.testing.assert_close(block(x, key_mask=key_mask), block(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pooling", POOLING)
@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_a_sample_without_kept_positions_gets_an_empty_sum(pooling, pairwise):
    """y is 0 there (see `functional`), so z is x plus what W_z's bias gives; gradients stay finite."""
    block, x = random_block(ndim=2, norm=None, pairwise=pairwise, **POOLING[pooling]), random_input(ndim=2)
    key_mask = torch.ones(2, 3, 5, dtype=torch.bool)
    key_mask[1] = False
    x.requires_grad_()
    z = block(x, key_mask=key_mask)
    torch.testing.assert_close(z[1], x[1] + block.out.bias[:, None, None])
    z.square().sum().backward()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in block.parameters())


@pytest.mark.parametrize("pooling", POOLING)
def test_gradients_do_not_reach_left_out_positions(pooling):
    block, x = random_block(ndim=2, **POOLING[pooling]), random_input(ndim=2)
    key_mask = random_mask(x)
    x.requires_grad_()
    kept = key_mask.unsqueeze(1).expand_as(x)
    block(x, key_mask=key_mask)[kept].square().sum().backward()
    assert not x.grad[~kept].any()
    assert x.grad[kept].all()


def test_bad_masks_are_refused():
    block, x = random_block(ndim=2), random_input(ndim=2)
    with pytest.raises(ValueError, match=r"key_mask must be bool \(False: left out\), got torch.float32"):
        block(x, key_mask=torch.ones(2, 3, 5))
    with pytest.raises(ValueError, match=r"key_mask must be \(B, H, W\) = \(2, 3, 5\) beside x .*, got \(2, 1, 3, 5\)"):
        block(x, key_mask=torch.ones(2, 1, 3, 5, dtype=torch.bool))
