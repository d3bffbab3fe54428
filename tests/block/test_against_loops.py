"""The block's output and weights against the literal loops, for every combination of options that changes them."""

import itertools

import pytest
import torch

from block.loops import cells, literal_block, literal_weights
from block.making import AXES, random_block, random_input, random_mask
from nonlocalnet.block import NonLocalBlock
from nonlocalnet.functional import PAIRWISE

OPTIONS = {
    "line": {"ndim": 1},
    "line, pooled": {"ndim": 1, "subsample": 2},
    "line, pooled first": {"ndim": 1, "subsample": (3,), "subsample_first": True},
    "image": {"ndim": 2},
    "image, pooled": {"ndim": 2, "subsample": 2},
    "image, pooled first": {"ndim": 2, "subsample": 2, "subsample_first": True},
    "image, one axis too short to pool": {"ndim": 2, "subsample": (4, 2)},
    "image, no norm": {"ndim": 2, "norm": None, "inner_channels": 3},
    "clip": {},
    "clip, pooled": {"subsample": (1, 2, 2)},
    "clip, pooled in time too": {"subsample": (2, 1, 2)},
    "clip, pooled first": {"subsample": 2, "subsample_first": True, "inner_channels": 1},
    "clip, pooled first in time too": {"subsample": (2, 2, 2), "subsample_first": True, "norm": None},
    "space": {"domain": "space"},
    "space, pooled": {"domain": "space", "subsample": 2},
    "space, pooled first": {"domain": "space", "subsample": 2, "subsample_first": True},
    "time": {"domain": "time"},
    "time, pooled": {"domain": "time", "subsample": (2, 1, 1)},
    "groups": {"temporal_group_frames": 2},
    "groups, pooled": {"temporal_group_frames": 2, "subsample": (2, 2, 1)},
    "groups, pooled first": {"temporal_group_frames": 2, "subsample": 2, "subsample_first": True},
    "groups, time": {"temporal_group_frames": 2, "domain": "time"},
    "layer norm": {"ndim": 1, "norm": "layer"},
    "causal line": {"ndim": 1, "causal": True, "norm": "layer"},
    "causal line, pooled": {"ndim": 1, "causal": True, "norm": "layer", "subsample": 2},
    "causal line, pooled first": {"ndim": 1, "causal": True, "norm": None, "subsample": 3, "subsample_first": True},
    "causal clip": {"causal": True, "norm": "layer"},
    "causal clip, pooled": {"causal": True, "norm": None, "subsample": 2},
    "causal clip, pooled in time too": {"causal": True, "norm": "layer", "subsample": (2, 1, 2)},
    "causal time": {"causal": True, "norm": None, "domain": "time", "subsample": (2, 1, 1)},
    "causal groups": {"causal": True, "norm": None, "temporal_group_frames": 2},
    "groups, time, pooled": {"temporal_group_frames": 2, "domain": "time", "subsample": (2, 1, 1)},
}
CASES = [
    pytest.param({**options, "pairwise": pairwise}, id=f"{name}, {pairwise}")
    for (name, options), pairwise in itertools.product(OPTIONS.items(), PAIRWISE)
]


@pytest.mark.parametrize("options", CASES)
def test_output_equals_the_loops(options):
    block, x = random_block(**options), random_input(ndim=options.get("ndim", 3))
    z = block(x)
    torch.testing.assert_close(z, literal_block(block, options, x), rtol=1e-10, atol=1e-10)
    assert not torch.allclose(z, x)


@pytest.mark.parametrize("options", CASES)
def test_output_with_a_key_mask_equals_the_loops(options):
    block, x = random_block(**options), random_input(ndim=options.get("ndim", 3))
    key_mask = random_mask(x)
    z = block(x, key_mask=key_mask)
    torch.testing.assert_close(z, literal_block(block, options, x, key_mask), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("options", CASES)
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
def test_affinity_rows_equal_the_loops(options, masked):
    ndim = options.get("ndim", 3)
    block, x = random_block(**options), random_input(ndim=ndim)
    key_mask = random_mask(x) if masked else None
    positions = torch.stack([torch.randint(size, (6,)) for size in AXES[ndim]], dim=1)
    rows = block.affinity_rows(x, positions, key_mask=key_mask)
    windows = cells(options, AXES[ndim])
    expected_rows = [literal_weights(block, options, x, b, key_mask) for b in range(len(x))]
    for b, (q, position) in itertools.product(range(len(x)), enumerate(positions.tolist())):
        expected = expected_rows[b][tuple(position)]
        assert expected.keys() <= windows.keys()
        for cell in windows:
            assert rows.weights[(b, q, *cell)].item() == pytest.approx(expected.get(cell, 0.0), rel=1e-10, abs=1e-12)
    assert rows.weights.shape == (len(x), 6, *(size // s for size, s in zip(AXES[ndim], rows.key_stride, strict=True)))


@pytest.mark.parametrize("pairwise", ["gaussian", "embedded_gaussian"])
@pytest.mark.parametrize("scale", [0.3, "rsqrt"])
def test_scale_multiplies_the_logits(pairwise, scale):
    options = {"ndim": 2, "pairwise": pairwise, "scale": scale, "inner_channels": 3}
    block, x = random_block(**options), random_input(ndim=2)
    z = block(x)
    torch.testing.assert_close(z, literal_block(block, options, x), rtol=1e-10, atol=1e-10)
    assert not torch.allclose(z, literal_block(block, {**options, "scale": 1.0}, x))


def test_pooling_before_and_after_do_not_commute():
    first = random_block(subsample=2, subsample_first=True)
    after = random_block(subsample=2)
    after.load_state_dict(first.state_dict())
    x = random_input()
    assert not torch.allclose(first(x), after(x))


def test_affinity_rows_give_the_output():
    """z = x + norm(W_z sum_j weights_ij g_j), with the rows of all positions: the figures show what the block does."""
    block, x = random_block(ndim=2, norm=None), random_input(ndim=2)
    positions = torch.cartesian_prod(*map(torch.arange, AXES[2]))
    weights = block.affinity_rows(x, positions).weights.flatten(2)
    y = torch.einsum("bij,bdj->bdi", weights, block.g(x).flatten(2)).unflatten(2, AXES[2])
    torch.testing.assert_close(block(x), x + block.out(y))


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_a_causal_sequence_that_is_shorter_than_its_pooling_has_no_keys(pairwise):
    options = {"ndim": 1, "causal": True, "norm": "layer", "subsample": 7, "pairwise": pairwise}
    block, x = random_block(**options), random_input(ndim=1)
    torch.testing.assert_close(block(x), literal_block(block, options, x), rtol=1e-10, atol=1e-10)
    longer = torch.cat([x, torch.randn_like(x)], dim=2)
    torch.testing.assert_close(block(longer)[:, :, :5], block(x), rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match="shorter than the pooling of this causal block"):
        block.affinities(x)


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize(
    "options", [{"ndim": 1}, {"ndim": 1, "subsample": 3}, {"ndim": 3, "subsample": 2}, {"ndim": 3, "domain": "time"}]
)
def test_the_future_of_a_causal_block_changes_nothing_before_it(options, pairwise):
    """Neither output nor gradient, in training mode too."""
    block = random_block(**options, pairwise=pairwise, causal=True, norm="layer").train()
    x = torch.randn(2, 4, 9, *(4, 4)[: options["ndim"] - 1], dtype=torch.double, requires_grad=True)
    z = block(x)
    z[:, :, :5].sum().backward()
    assert torch.count_nonzero(x.grad[:, :, 5:]) == 0
    changed = torch.cat([x.detach()[:, :, :5], 9 * torch.randn_like(x)[:, :, 5:]], dim=2)
    torch.testing.assert_close(block(changed)[:, :, :5], z[:, :, :5], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(block(x.detach()[:, :, :5]), z[:, :, :5], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_padding_changes_nothing_with_a_layer_norm(causal):
    """A sequence's output does not change with what it is padded beside, in training mode and in eval mode."""
    block = NonLocalBlock(8, ndim=1, norm="layer", causal=causal, zero_init=False)
    x = torch.randn(1, 8, 12)
    padded = torch.cat([torch.cat([x, torch.full((1, 8, 5), 50.0)], dim=2), torch.randn(1, 8, 17)])
    mask = torch.ones(2, 17, dtype=torch.bool)
    mask[0, 12:] = False
    for block_ in (block.train(), block.eval()):
        torch.testing.assert_close(block_(padded, key_mask=mask)[:1, :, :12], block_(x), rtol=1e-6, atol=1e-6)
