"""A long sequence in pieces, and step by step: what comes out is what the whole sequence gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nonlocalnet.block import KeyBlocks, LearnedPositions, NonLocalBlock
from nonlocalnet.functional import PAIRWISE, Store, Total


def causal_block(ndim=1, **options):
    torch.manual_seed(0)
    block = NonLocalBlock(4, ndim=ndim, causal=True, norm=None, zero_init=False, **options).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    return block


def in_pieces(block, x, cuts, mask=None):
    state, parts, begin = None, [], 0
    for size in cuts:
        piece = slice(begin, begin + size)
        z, state = block(
            x[:, :, piece],
            key_mask=None if mask is None else mask[:, piece],
            initial_state=state,
            output_final_state=True,
        )
        parts.append(z)
        begin += size
    return torch.cat(parts, dim=2), state


OPTIONS = {
    "plain": (1, {}),
    "pooled": (1, {"subsample": 2}),
    "pooled first": (1, {"subsample": 3, "subsample_first": True}),
    "window": (1, {"window": 3, "dilation": 2}),
    "frames": (3, {"subsample": (2, 1, 2)}),
    "time": (3, {"domain": "time"}),
}


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("name", OPTIONS)
@settings(max_examples=4, deadline=None)
@given(cuts=st.lists(st.integers(1, 5), min_size=1, max_size=5), masked=st.booleans())
def test_pieces_give_what_the_whole_gives(pairwise, name, cuts, masked):
    ndim, options = OPTIONS[name]
    block = causal_block(ndim, pairwise=pairwise, **options)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 4, sum(cuts), *(2, 5)[: ndim - 1], dtype=torch.float64, generator=generator)
    mask = torch.rand(2, *x.shape[2:], generator=generator) > 0.3 if masked else None
    found, _ = in_pieces(block, x, cuts, mask)
    torch.testing.assert_close(found, block(x, key_mask=mask), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_steps(pairwise):
    block = causal_block(pairwise=pairwise, subsample=2)
    x = torch.randn(2, 4, 7, dtype=torch.float64)
    state, parts = None, []
    for t in range(7):
        z, state = block.step(x[:, :, t], state)
        parts.append(z)
    torch.testing.assert_close(torch.stack(parts, dim=2), block(x))


def test_the_gradient_goes_through_the_state():
    block = causal_block(pairwise="dot_product")
    x = torch.randn(1, 4, 6, dtype=torch.float64, requires_grad=True)
    found, _ = in_pieces(block, x, [2, 4])
    (one,) = torch.autograd.grad(found.square().sum(), x)
    (other,) = torch.autograd.grad(block(x).square().sum(), x)
    torch.testing.assert_close(one, other)


def test_a_detached_state_ends_it():
    block = causal_block(pairwise="gaussian")
    x = torch.randn(1, 4, 4, dtype=torch.float64, requires_grad=True)
    _, state = block(x, output_final_state=True)
    assert block.step(torch.randn(1, 4, dtype=torch.float64), state.detach())[0].requires_grad
    (gradient,) = torch.autograd.grad(block.step(x[:, :, 0].detach(), state.detach())[0].sum(), x, allow_unused=True)
    assert gradient is None


def test_what_is_kept():
    x = torch.randn(2, 4, 50, dtype=torch.float64)
    _, state = causal_block(pairwise="dot_product")(x, output_final_state=True)
    assert isinstance(state.past, Total)
    assert state.past.product_BCD.shape == (2, 2, 2)
    _, state = causal_block(pairwise="embedded_gaussian")(x, output_final_state=True)
    assert isinstance(state.past, Store)
    assert state.past.phi_BMC.shape == (2, 50, 2)
    for pairwise in PAIRWISE:
        _, state = causal_block(pairwise=pairwise, window=3, dilation=2)(x, output_final_state=True)
        assert state.past.g_BMD.shape == (2, 6, 2)


STATES = {
    "gaussian": {"pairwise": "gaussian", "inner_channels": 4},
    "embedded": {"pairwise": "embedded_gaussian", "inner_channels": 4},
    "concatenation": {"pairwise": "concatenation", "inner_channels": 4},
    "dot product": {"pairwise": "dot_product", "inner_channels": 4},
    "pooled": {"pairwise": "dot_product", "inner_channels": 4, "subsample": 3},
    "pooled by twos": {"pairwise": "dot_product", "inner_channels": 4, "subsample": 2},
    "pooled first": {"pairwise": "dot_product", "inner_channels": 4, "subsample": 3, "subsample_first": True},
    "window": {"pairwise": "embedded_gaussian", "inner_channels": 4, "window": 2},
    "wider window": {"pairwise": "embedded_gaussian", "inner_channels": 4, "window": 4},
    "dilated window": {"pairwise": "embedded_gaussian", "inner_channels": 4, "window": 2, "dilation": 2},
}


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"causal": False}, "causal=True"),
            ({"subsample": LearnedPositions(3)}, "does not go on from a state"),
            ({"subsample": KeyBlocks(3, 2)}, "does not go on from a state"),
        ],
    )
    def test_blocks_without_a_state(self, options, said):
        block = NonLocalBlock(4, ndim=1, **{"causal": True, "norm": None, **options})
        with pytest.raises(ValueError, match=said):
            block(torch.randn(1, 4, 3), output_final_state=True)

    def test_temporal_groups(self):
        block = NonLocalBlock(4, temporal_group_frames=2, causal=True, norm=None)
        with pytest.raises(ValueError, match="temporal_group_frames=2"):
            block.step(torch.randn(1, 4, 2, 2))

    def test_the_state_of_another(self):
        _, total = causal_block(pairwise="dot_product")(torch.randn(1, 4, 3).double(), output_final_state=True)
        with pytest.raises(ValueError, match="the state is a Total; this sum goes on from a Store"):
            causal_block(pairwise="gaussian").step(torch.randn(1, 4).double(), total)
        with pytest.raises(ValueError, match=r"the state is of inputs \(1, 4\) beside time; this piece is of \(2, 4\)"):
            causal_block(pairwise="dot_product").step(torch.randn(2, 4).double(), total)

    @pytest.mark.parametrize("first", STATES)
    @pytest.mark.parametrize("second", STATES)
    def test_the_state_of_another_kind_of_block(self, first, second):
        """All of the same sizes: what differs is what the state's numbers mean."""
        _, state = causal_block(**STATES[first])(torch.randn(1, 4, 7).double(), output_final_state=True)
        other = causal_block(**STATES[second])
        if first == second:
            other.step(torch.randn(1, 4).double(), state)
            return
        with pytest.raises(ValueError, match="the state is "):
            other.step(torch.randn(1, 4).double(), state)

    @pytest.mark.parametrize("pairwise", PAIRWISE)
    def test_the_state_of_another_dtype(self, pairwise):
        block = causal_block(pairwise=pairwise)
        _, state = block(torch.randn(1, 4, 3).double(), output_final_state=True)
        with pytest.raises(ValueError, match=r"the state is of torch.float64 on cpu; this piece is of torch.float32"):
            block.float().step(torch.randn(1, 4), state)
        with torch.autocast("cpu", torch.bfloat16):  # layers before it may give either
            block.step(torch.randn(1, 4), block(torch.randn(1, 4, 3).bfloat16(), output_final_state=True)[1])

    def test_no_single_position(self):
        with pytest.raises(ValueError, match="initial_state is what a call or step gave before, or None, got int"):
            NonLocalBlock(4, ndim=1, norm=None, causal=True)(torch.randn(1, 4, 3), initial_state=3)  # pyright: ignore
        with pytest.raises(ValueError, match=r"step takes one position \(B, 4\)"):
            causal_block().step(torch.randn(1, 4, 3).double())
