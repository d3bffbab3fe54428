"""Blocks whose keys are chosen: all of them chosen is the plain block, scores learn, and rows show what is summed."""

import pytest
import torch
from torch import nn

from nonlocalnet.block import BlockOptions, KeyBlocks, LearnedPositions, NonLocalBlock, auxiliary_loss
from nonlocalnet.functional import PAIRWISE
from nonlocalnet.system.meta import meta_copy

AXES = {1: (12,), 2: (3, 4), 3: (2, 3, 2)}


def block_of(ndim, pairwise, **options):
    torch.manual_seed(0)
    block = NonLocalBlock(4, ndim=ndim, pairwise=pairwise, norm=None, zero_init=False, **options).double()
    for name, parameter in sorted(block.named_parameters()):
        if "scorer" not in name:
            nn.init.normal_(parameter)
    return block


def same_weights(block, other):
    return block.load_state_dict({**block.state_dict(), **other.state_dict()}) and block


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_all_positions_are_the_plain_block(pairwise, ndim, causal):
    if causal and ndim == 2:
        pytest.skip("causal goes over time")
    plain = block_of(ndim, pairwise, causal=causal)
    x = torch.randn(2, 4, *AXES[ndim], dtype=torch.float64)
    for k in (12, 99):
        for chosen in (LearnedPositions(k), LearnedPositions(k, by="norm"), KeyBlocks(5, count=3)):
            block = same_weights(block_of(ndim, pairwise, causal=causal, subsample=chosen), plain)
            torch.testing.assert_close(block(x), plain(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize(
    "options",
    [
        {"subsample": LearnedPositions(4, slope=True)},
        {"subsample": LearnedPositions(4), "causal": True},
        {"subsample": LearnedPositions(3), "domain": "space", "ndim": 3},
        {"subsample": LearnedPositions(4, by="every")},
        {"subsample": LearnedPositions(4, by="norm"), "causal": True},
        {"subsample": KeyBlocks(3, count=2)},
        {"subsample": KeyBlocks(3, count=2), "causal": True},
        {"window": 2, "dilation": 2},
        {"window": 2, "causal": True},
    ],
    ids=str,
)
def test_rows_show_what_is_summed(pairwise, options):
    options = dict(options)
    ndim = options.pop("ndim", 1)
    block = block_of(ndim, pairwise, **options).eval()
    x = torch.randn(2, 4, *AXES[ndim], dtype=torch.float64)
    mask = torch.rand(2, *AXES[ndim], generator=torch.Generator().manual_seed(3)) > 0.2
    x = x.masked_fill(~mask.unsqueeze(1), 0.0)
    positions = torch.cartesian_prod(*(torch.arange(size) for size in AXES[ndim])).reshape(-1, ndim)
    rows = block.affinity_rows(x, positions, key_mask=mask).weights.flatten(2)
    y = torch.einsum("bqm,bdm->bdq", rows, block.g(x).flatten(2)).reshape(2, 2, *AXES[ndim])
    torch.testing.assert_close(block(x, key_mask=mask), x + block.out(y), rtol=1e-8, atol=1e-10)


def test_the_choice_is_of_what_is_kept():
    block = block_of(1, "dot_product", subsample=LearnedPositions(3))
    x = torch.randn(2, 4, 12, dtype=torch.float64)
    mask = torch.arange(12) < 7
    padded = torch.where(mask, x, float("nan"))
    found = block(padded, key_mask=mask.expand(2, -1))[:, :, :7]
    torch.testing.assert_close(found, block(x[:, :, :7]))


def test_nothing_later_counts():
    block = block_of(1, "embedded_gaussian", subsample=LearnedPositions(3), causal=True)
    x = torch.randn(1, 4, 12, dtype=torch.float64)
    other = x.clone()
    other[:, :, 8:] = torch.randn(1, 4, 4, dtype=torch.float64) * 100
    assert torch.equal(block(x)[:, :, :8], block(other)[:, :, :8])


def test_a_planted_key_is_learned():
    """One position, marked in its first channel, holds what all others need: the scores find it among 40."""
    torch.manual_seed(1)
    block = NonLocalBlock(6, ndim=1, pairwise="dot_product", norm=None, zero_init=False, subsample=LearnedPositions(2))
    with torch.no_grad():
        nn.init.constant_(block.theta.bias, 1.0)
        nn.init.constant_(block.phi.bias, 1.0)
    optimiser = torch.optim.Adam(block.parameters(), lr=0.02)
    for _ in range(150):
        x = torch.randn(16, 6, 40)
        x[:, 0] = 0.0
        at = torch.randint(40, (16,))
        x[torch.arange(16), 0, at] = 2.0
        wanted = x[torch.arange(16), 1, at]
        loss = (block(x)[:, 2] - x[:, 2] - wanted[:, None]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    rows = block.eval().affinity_rows(x, torch.tensor([[0]])).weights[:, 0].abs()
    assert (rows.argmax(dim=1) == at).float().mean() > 0.9


class TestTraining:
    def test_the_number_goes_down(self):
        block = block_of(1, "dot_product", subsample=LearnedPositions(3, anneal_steps=4))
        x = torch.randn(1, 4, 12, dtype=torch.float64)
        counts = []
        for _ in range(6):
            counts.append(block.scorer.number(12))
            block(x)
        assert counts == [12, 8, 6, 4, 3, 3]
        block.eval()(x)
        assert int(block.scorer.steps) == 6  # only training counts
        other = same_weights(block_of(1, "dot_product", subsample=LearnedPositions(3, anneal_steps=4)), block)
        assert other.scorer.number(12) == 3  # a checkpoint goes on where it was

    @pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*deprecated", "ignore::torch.jit.TracerWarning")
    @pytest.mark.parametrize("trained", [0, 2, 6])
    def test_while_the_number_goes_down_the_block_can_be_exported_traced_and_counted(self, trained):
        block = block_of(1, "dot_product", subsample=LearnedPositions(3, anneal_steps=4))
        x = torch.randn(1, 4, 12, dtype=torch.float64)
        for _ in range(trained):
            block(x)
        # Put into eval mode after its values were there, as `from_checkpoint` does; not called since.
        block = same_weights(block_of(1, "dot_product", subsample=LearnedPositions(3, anneal_steps=4)), block).eval()
        traced = torch.jit.trace(block, (x,))
        exported = torch.export.export(block, (x,)).module()
        for other in (traced, exported):
            torch.testing.assert_close(other(x), block(x))
        assert meta_copy(block)(x.to("meta")).shape == x.shape
        with torch.device("meta"):
            assert block_of(1, "dot_product", subsample=LearnedPositions(3, anneal_steps=4)).scorer.number(12) == 3

    def test_distillation_teaches_the_scores_alone(self):
        block = block_of(1, "embedded_gaussian", subsample=LearnedPositions(3, distil=2))
        x = torch.randn(2, 4, 12, dtype=torch.float64, requires_grad=True)
        block(x)
        loss = auxiliary_loss(block)
        assert loss is not None
        assert auxiliary_loss(block) is None
        loss.backward()
        assert block.scorer.weight.grad.abs().sum() > 0
        assert x.grad is None
        assert block.theta.weight.grad is None
        block.eval()(x)
        assert auxiliary_loss(block) is None

    @pytest.mark.parametrize("pairwise", PAIRWISE)
    def test_random_positions_are_for_training(self, pairwise):
        block = block_of(1, pairwise, subsample=LearnedPositions(3, random=3))
        x = torch.randn(1, 4, 12, dtype=torch.float64)
        gradients = [torch.autograd.grad(block(x).square().sum(), block.scorer.weight)[0] for _ in range(2)]
        assert not torch.equal(*gradients)
        in_training = block(x)
        block.eval()
        # Equal: a network must not learn to lean on what is there in training alone.
        assert torch.equal(in_training, block(x))
        gradients = [torch.autograd.grad(block(x).square().sum(), block.scorer.weight)[0] for _ in range(2)]
        assert torch.equal(*gradients)


class TestPadding:
    """While the number goes down it goes down from each sequence's own positions."""

    @pytest.mark.parametrize("pairwise", PAIRWISE)
    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize(("causal", "random"), [(False, 0), (False, 3), (True, 0)])
    def test_what_a_sequence_is_padded_beside_changes_nothing(self, pairwise, training, causal, random):
        torch.manual_seed(0)
        options = {"subsample": LearnedPositions(4, anneal_steps=10, random=random), "causal": causal}
        block = NonLocalBlock(6, ndim=1, norm="layer", pairwise=pairwise, zero_init=False, **options)
        block = block.double().train(training)
        x = torch.randn(3, 6, 40, dtype=torch.float64)
        lengths = [40, 21, 3]
        mask = torch.arange(40) < torch.tensor(lengths)[:, None]
        for steps in (0, 3, 7, 10):
            block.scorer.steps.fill_(steps)
            padded = block(x, key_mask=mask)
            (gradient,) = torch.autograd.grad(padded[1, :, :21].square().sum(), block.scorer.weight)
            for row, length in enumerate(lengths):
                block.scorer.steps.fill_(steps)
                alone = block(x[row : row + 1, :, :length])
                torch.testing.assert_close(padded[row : row + 1, :, :length], alone, rtol=0, atol=1e-12)
                if row == 1 and not random:
                    (own,) = torch.autograd.grad(alone.square().sum(), block.scorer.weight)
                    torch.testing.assert_close(gradient, own, rtol=0, atol=1e-11)

    @pytest.mark.parametrize("causal", [False, True])
    def test_what_is_shown_is_what_is_summed(self, causal):
        torch.manual_seed(0)
        positions = LearnedPositions(4, anneal_steps=10)
        block = NonLocalBlock(6, ndim=1, norm=None, subsample=positions, causal=causal).eval()
        block.scorer.steps.fill_(4)
        mask = torch.arange(40) < torch.tensor([[40], [12]])
        x = torch.randn(2, 6, 40)
        numbers = [block.scorer.number(n) for n in (40, 12)]
        assert numbers == block.scorer.numbers(mask).tolist()
        shown = block.affinity_rows(x, torch.tensor([[11]]), key_mask=mask).weights
        alone = block.affinity_rows(x[1:, :, :12], torch.tensor([[11]])).weights
        torch.testing.assert_close(shown[1, 0, :12], alone[0, 0])
        for row, number in zip(shown, numbers, strict=True):
            assert 0 < int((row > 0).sum()) <= number


class TestRefused:
    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"k": 0}, "k must be an integer of at least 1, got 0"),
            ({"k": 2.0}, "k must be"),
            ({"k": 2, "random": -1}, "random must be"),
            ({"k": 2, "slope": "false"}, "slope must be True or False, got 'false'"),
            ({"k": 2, "by": "luck"}, "by must be one of"),
            ({"k": 2, "by": "norm", "distil": 2}, 'distil belongs to by="learned"'),
        ],
    )
    def test_positions(self, wrong, said):
        with pytest.raises(ValueError, match=said):
            LearnedPositions(**wrong)

    @pytest.mark.parametrize("wrong", [{"random": 2}, {"distil": 2}, {"by": "every"}])
    def test_not_for_causal_blocks(self, wrong):
        with pytest.raises(ValueError, match="not for causal=True"):
            BlockOptions(subsample=LearnedPositions(2, **wrong), causal=True, norm=None)

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"dilation": 2}, "give window, too"),
            ({"window": -1}, "window must be"),
            ({"window": 2, "subsample": 2}, "leave out subsample"),
            ({"window": 2, "dilation": 0}, "dilation must be"),
            ({"subsample": KeyBlocks(1, 1), "window": 1}, "leave out subsample"),
        ],
    )
    def test_windows(self, wrong, said):
        with pytest.raises(ValueError, match=said):
            BlockOptions(**wrong)

    def test_a_window_needs_a_sequence(self):
        with pytest.raises(ValueError, match="needs ndim=1, got ndim=2"):
            NonLocalBlock(4, ndim=2, window=2)

    @pytest.mark.parametrize("wrong", [(0, 1), (1, 0)])
    def test_key_blocks(self, wrong):
        with pytest.raises(ValueError, match="at least 1"):
            KeyBlocks(*wrong)


class TestPlain:
    @pytest.mark.parametrize("chosen", [LearnedPositions(3, slope=True), KeyBlocks(4, 2)])
    def test_options_take_what_a_file_holds(self, chosen):
        assert BlockOptions(subsample=vars(chosen)).subsample == chosen

    @pytest.mark.parametrize("wrong", [{}, {"k": 2, "size": 3}, {"size": 3}, {"k": 0}])
    def test_and_nothing_else(self, wrong):
        with pytest.raises(ValueError, match=r"LearnedPositions|at least 1"):
            BlockOptions(subsample=wrong)


@pytest.mark.parametrize("pairwise", PAIRWISE)
def test_fan_in_gives_layer_norm_something_to_see(pairwise):
    torch.manual_seed(0)
    x = torch.randn(4, 64, 50)
    for init_std, alive in (("fan_in", True), (0.01, False)):
        block = NonLocalBlock(64, ndim=1, pairwise=pairwise, norm="layer", init_std=init_std)
        seen = []
        block.norm.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0].var(dim=1).mean()))
        block(x)
        assert (seen[0] > 10 * block.norm.eps) == alive


@pytest.mark.parametrize("wrong", [0.0, -1.0, "small", float("inf"), True])
def test_no_standard_deviation(wrong):
    with pytest.raises(ValueError, match="init_std must be a positive finite number"):
        BlockOptions(init_std=wrong)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*deprecated", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("causal", [False, True])
def test_blocks_of_keys_are_exported_and_traced(causal):
    block = block_of(1, "dot_product", subsample=KeyBlocks(2, 2), causal=causal).eval()
    x = torch.randn(1, 4, 12, dtype=torch.float64)
    for other in (torch.jit.trace(block, (x,)), torch.export.export(block, (x,)).module()):
        torch.testing.assert_close(other(x), block(x))
