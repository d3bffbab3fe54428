"""A sequence's output hangs neither on what it is padded beside nor, in a causal network, on what comes later."""

from __future__ import annotations

import pytest
import torch

from nonlocalnet.functional import PAIRWISE
from nonlocalnet.models.sequence import NonLocalGRU, NonLocalLSTM

LENGTHS = [9, 1, 4, 6, 3]
FORMS = [{}, {"bidirectional": True}, {"causal": True}, {"subsample": 4}, {"subsample": 2, "causal": True}]


def network(ours, *, times=3, **options):
    """Whose blocks do as much as its recurrences: fresh weights are small."""
    made = ours(3, 6, num_layers=2, after=(0, 1), batch_first=True, zero_init=False, **options)
    with torch.no_grad():
        for block in made.blocks.values():
            for parameter in block.parameters():
                parameter.mul_(times if parameter.dim() > 1 else 1)
    return made


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("options", FORMS)
# LayerNorm magnifies the rounding of values that hardly differ, by up to eps ** -0.5 = 32: of fresh blocks that count
# in full 3e-6 were seen; smaller ones are within 1e-6.
@pytest.mark.parametrize(
    ("dtype", "times", "close"), [(torch.float32, 0.3, 1e-6), (torch.float32, 1, 4e-6), (torch.float64, 3, 1e-12)]
)
@pytest.mark.parametrize("ours", [NonLocalGRU, NonLocalLSTM])
def test_padding_is_no_position(ours, dtype, times, close, options, pairwise):
    made = network(ours, times=times, pairwise=pairwise, **options).to(dtype)
    x = torch.randn(5, 9, 3, dtype=dtype)
    filled = x.clone()
    for index, length in enumerate(LENGTHS):
        filled[index, length:] = float("nan") if index % 2 else 1e4
    for training in (True, False):
        made.train(training)
        output, state = made(filled, LENGTHS)
        states = state if isinstance(state, tuple) else (state,)
        for index, length in enumerate(LENGTHS):
            alone, own = made(x[index : index + 1, :length])
            off = (output[index, :length] - alone[0]).abs().max()
            assert off <= close * alone.abs().max().clamp_min(1), off
            assert not output[index, length:].any()
            for part, expected in zip(states, own if isinstance(own, tuple) else (own,), strict=True):
                torch.testing.assert_close(part[:, index], expected[:, 0], atol=close, rtol=close)


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("ours", [NonLocalGRU, NonLocalLSTM])
def test_gradients_are_those_of_each_sequence_alone(ours, pairwise):
    made = network(ours, pairwise=pairwise, bidirectional=True, subsample=2).double()
    x = torch.randn(5, 9, 3, dtype=torch.float64)
    weights = torch.randn(9, 12, dtype=torch.float64)
    sum((made(x[i : i + 1, :n])[0][0] * weights[:n]).sum() for i, n in enumerate(LENGTHS)).backward()
    expected = [parameter.grad.clone() for parameter in made.parameters()]
    made.zero_grad()
    filled = x.clone()
    for index, length in enumerate(LENGTHS):
        filled[index, length:] = float("nan")
    filled.requires_grad_()
    (made(filled, LENGTHS)[0] * weights).sum().backward()
    for parameter, gradient in zip(made.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert not any(filled.grad[index, length:].any() for index, length in enumerate(LENGTHS))
    assert filled.grad.isfinite().all()


@pytest.mark.parametrize("pairwise", PAIRWISE)
@pytest.mark.parametrize("subsample", [None, 2])
@pytest.mark.parametrize("ours", [NonLocalGRU, NonLocalLSTM])
def test_a_causal_network_knows_no_future(ours, subsample, pairwise):
    made = network(ours, pairwise=pairwise, subsample=subsample, causal=True)
    x = torch.randn(2, 9, 3, requires_grad=True)
    changed = x.detach().clone()
    changed[:, 5:] = 100 * torch.randn(2, 4, 3)
    output = made(x)[0]
    torch.testing.assert_close(made(changed)[0][:, :5], output[:, :5], atol=1e-6, rtol=1e-6)
    output[:, :5].square().sum().backward()
    assert not x.grad[:, 5:].any()
    assert x.grad[:, :5].any()
    # The same without causal sees it: the check can fail.
    seeing = network(ours, pairwise=pairwise, subsample=subsample)
    assert (seeing(changed)[0][:, :5] - seeing(x)[0][:, :5]).abs().max() > 1e-4
