"""What a sequence is padded beside teaches its scores nothing; and copies of blocks that hold a loss."""

import copy
import pickle

import pytest
import torch

from nonlocalnet.block import LearnedPositions, NonLocalBlock, auxiliary_loss
from nonlocalnet.functional import PAIRWISE


def trained_block(pairwise, *, distil):
    torch.manual_seed(0)
    chosen = LearnedPositions(2, distil=distil)
    return NonLocalBlock(4, ndim=1, norm=None, pairwise=pairwise, subsample=chosen).double().train()


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("filled", [0.0, 1e6, float("nan")])
def test_distillation_asks_no_padding(pairwise, filled):
    block = trained_block(pairwise, distil=50)
    x = torch.randn(3, 4, 30, dtype=torch.float64)
    lengths = torch.tensor([5, 9, 0])
    kept = torch.arange(30) < lengths[:, None]
    block(x.masked_fill(~kept[:, None], filled), key_mask=kept)
    beside = auxiliary_loss(block)
    alone = []
    for row, length in enumerate(lengths[:2]):
        block(x[row : row + 1, :, :length])
        alone.append(auxiliary_loss(block))
    torch.testing.assert_close(beside, torch.stack(alone).mean())


@pytest.mark.parametrize("filled", [0.0, float("nan")])
def test_one_query_is_a_kept_one(filled):
    block = trained_block("embedded_gaussian", distil=1)
    x = torch.full((1, 4, 500), filled, dtype=torch.float64)
    x[..., 7] = torch.randn(4, dtype=torch.float64)
    block(x, key_mask=(torch.arange(500) == 7)[None])
    assert abs(auxiliary_loss(block).item()) < 1e-12  # the one key that is kept has all of both


@pytest.mark.parametrize("again", [copy.deepcopy, lambda block: pickle.loads(pickle.dumps(block))])
def test_a_network_is_copied_with_a_loss_left_in_it(again):
    block = trained_block("dot_product", distil=2)
    x = torch.randn(1, 4, 6, dtype=torch.float64)
    block(x)
    copied = again(block)
    assert auxiliary_loss(copied) is None
    assert auxiliary_loss(block) is not None
    assert torch.equal(copied.eval()(x), block.eval()(x))
