"""NonLocalGRU and NonLocalLSTM against nn.GRU and nn.LSTM, and their forms of input."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from nonlocalnet.block import BlockOptions, NonLocalBlock
from nonlocalnet.models.sequence import NonLocalGRU, NonLocalLSTM

CLASSES = [(NonLocalGRU, nn.GRU), (NonLocalLSTM, nn.LSTM)]


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def assert_same(ours, theirs, **close):
    for one, other in zip((ours[0], *parts(ours[1])), (theirs[0], *parts(theirs[1])), strict=True):
        torch.testing.assert_close(one, other, **close)


def state_of(theirs, batch):
    shape = (theirs.num_layers * (2 if theirs.bidirectional else 1), *batch, theirs.hidden_size)
    made = (torch.randn(shape), torch.randn(shape))
    return made if isinstance(theirs, nn.LSTM) else made[0]


@pytest.mark.parametrize(("ours", "theirs"), CLASSES)
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True, "bias": False}]
)
@pytest.mark.parametrize("after", [(), None])
def test_fresh_is_the_plain_recurrence_with_its_weights(ours, theirs, options, after):
    plain = theirs(3, 4, **options)
    made = ours.from_torch(plain, after=after)
    x = torch.randn(5, 6, 3)
    batch = 5 if plain.batch_first else 6
    assert_same(made(x), plain(x))
    hx = state_of(plain, (batch,))
    assert_same(made(x, hx=hx), plain(x, hx))
    assert [len(made.blocks), made.batch_first, made.bias] == [0 if after == () else 1, plain.batch_first, plain.bias]


@pytest.mark.parametrize(("ours", "theirs"), CLASSES)
def test_one_sequence_and_packed_sequences_as_nn_gru_takes_them(ours, theirs):
    plain = theirs(3, 4, num_layers=2, bidirectional=True)
    made = ours.from_torch(plain)
    x = torch.randn(5, 3)
    assert_same(made(x), plain(x))
    hx = state_of(plain, ())
    assert_same(made(x, hx=hx), plain(x, hx))
    for lengths, is_sorted in (([2, 5, 5, 3], False), ([5, 3, 3, 1], True)):
        packed = pack_padded_sequence(torch.randn(5, 4, 3), torch.tensor(lengths), enforce_sorted=is_sorted)
        (got, got_state), (expected, state) = made(packed), plain(packed)
        torch.testing.assert_close(got.data, expected.data)
        assert torch.equal(got.batch_sizes, expected.batch_sizes)
        for name in ("sorted_indices", "unsorted_indices"):
            one, other = getattr(got, name), getattr(expected, name)
            assert one is None if other is None else torch.equal(one, other)
        assert_same((got.data, got_state), (expected.data, state))


def test_packed_is_what_lengths_are():
    made = NonLocalGRU(3, 4, pairwise="gaussian", zero_init=False)
    x, lengths = torch.randn(5, 3, 3), torch.tensor([4, 5, 2])
    output, state = made(x, lengths)
    packed, packed_state = made(pack_padded_sequence(x, lengths, enforce_sorted=False))
    assert_same((output, state), (pad_packed_sequence(packed)[0], packed_state))


@pytest.mark.parametrize(("ours", "theirs"), CLASSES)
def test_blocks_stand_between_the_layers(ours, theirs):
    """Against the parts put together by hand, for one sequence."""
    made = ours(3, 4, num_layers=3, pairwise="dot_product", zero_init=False)
    for parameter in made.blocks.parameters():
        parameter.data.mul_(30)
    x = torch.randn(7, 2, 3)
    expected, finals = x, []
    for index, layer in enumerate(made.layers):
        expected, state = layer(expected.transpose(0, 1))
        expected = expected.transpose(0, 1)
        finals.append(parts(state))
        if index < 2:
            expected = made.blocks[str(index)](expected.permute(1, 2, 0)).permute(2, 0, 1)
    output, state = made(x)
    torch.testing.assert_close(output, expected)
    for got, wanted in zip(parts(state), zip(*finals, strict=True), strict=True):
        torch.testing.assert_close(got, torch.cat(wanted))
    assert made.after == (0, 1)
    assert not torch.allclose(output, ours.from_torch(_joined(made, theirs), after=())(x)[0])


def _joined(made, theirs):
    """The plain recurrence of the same weights."""
    plain = theirs(made.input_size, made.hidden_size, num_layers=made.num_layers)
    for index, layer in enumerate(made.layers):
        for name, parameter in layer.named_parameters():
            plain.get_parameter(name.replace("_l0", f"_l{index}")).data.copy_(parameter)
    return plain


def test_where_the_blocks_are():
    assert NonLocalGRU(3, 4).after == (0,)
    assert NonLocalGRU(3, 4, num_layers=3).after == (0, 1)
    assert NonLocalGRU(3, 4, num_layers=3, after=[2, 0]).after == (0, 2)
    block = NonLocalGRU(3, 4, bidirectional=True, inner_channels=3).blocks["0"]
    assert isinstance(block, NonLocalBlock)
    assert (block.channels, block.ndim, block.inner_channels, type(block.norm).__name__) == (8, 1, 3, "ChannelNorm")
    assert NonLocalGRU(3, 4, block=BlockOptions(norm=None, pairwise="gaussian")).blocks["0"].pairwise == "gaussian"


def test_dropout_is_between_layers_in_training_only():
    made = NonLocalGRU(3, 4, num_layers=2, dropout=1.0)
    x = torch.randn(5, 2, 3)
    assert torch.equal(made(x)[0], made(torch.randn(5, 2, 3))[0])
    assert not torch.equal(made.eval()(x)[0], made(torch.randn(5, 2, 3))[0])


@pytest.mark.parametrize("ours", [NonLocalGRU, NonLocalLSTM])
def test_empty_batch_non_contiguous_and_half(ours):
    made = ours(3, 4, num_layers=2, bidirectional=True)
    output, state = made(torch.zeros(5, 0, 3), [])
    assert output.shape == (5, 0, 8)
    assert all(part.shape == (4, 0, 4) for part in parts(state))
    x = torch.randn(3, 2, 5).permute(2, 1, 0)
    assert_same(made(x, [5, 3]), made(x.contiguous(), [5, 3]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = made(x, [5, 3])
    torch.testing.assert_close(output.float(), made(x, [5, 3])[0], atol=0.05, rtol=0.05)
    half = copy.deepcopy(made).bfloat16()
    output, _ = half(x.bfloat16(), [5, 3])
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), made(x, [5, 3])[0], atol=0.05, rtol=0.05)
    with pytest.raises(ValueError, match=r"weights of torch.float32, got x of torch.float16: convert one"):
        made(x.half())


@pytest.mark.parametrize("ours", [NonLocalGRU, NonLocalLSTM])
def test_copies_and_files(ours):
    made = ours(3, 4, num_layers=2, zero_init=False)
    x = torch.randn(5, 2, 3)
    expected = made(x, [5, 2])
    assert_same(copy.deepcopy(made)(x, [5, 2]), expected, rtol=0, atol=0)
    file = io.BytesIO()
    torch.save(made, file)
    file.seek(0)
    assert_same(torch.load(file, weights_only=False)(x, [5, 2]), expected, rtol=0, atol=0)
    other = ours(3, 4, num_layers=2)
    other.load_state_dict(made.state_dict())
    assert_same(other(x, [5, 2]), expected, rtol=0, atol=0)
    other.reset_parameters()
    assert not torch.equal(other(x)[0], made(x)[0])


@pytest.mark.slow
@pytest.mark.parametrize("ours", [NonLocalGRU, NonLocalLSTM])
@pytest.mark.parametrize("lengths", [None, [5, 3]])
def test_compiled(ours, lengths):
    made = ours(3, 4, num_layers=2, zero_init=False).eval()
    x = torch.randn(5, 2, 3)
    with torch.no_grad():
        assert_same(torch.compile(made, backend="aot_eager")(x, lengths), made(x, lengths))


def test_compiled_in_one_graph_where_nn_gru_is():
    made = NonLocalGRU(3, 4, num_layers=2, zero_init=False)
    x = torch.randn(5, 2, 3)
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(made, backend="aot_eager", fullgraph=True)
        assert_same(compiled(x), made(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": 0}, "input_size must be a positive integer, got 0"),
        ({"hidden_size": 2.5}, "hidden_size must be a positive integer, got 2.5"),
        ({"num_layers": 0}, "num_layers must be a positive integer, got 0"),
        ({"bias": "yes"}, "bias must be one of True, False, got 'yes'"),
        ({"dropout": 0.5}, "dropout comes between layers, and num_layers=1 has no place for it: give 0, got 0.5"),
        ({"dropout": 1.5, "num_layers": 2}, "dropout must be a probability from 0 to 1, got 1.5"),
        ({"after": (1,)}, r"after must be different layers from 0 to num_layers - 1 = 0, got \(1,\)"),
        ({"after": (0, 0)}, "after must be different layers"),
        ({"after": 1}, r"after must be numbers of layers, such as \(0,\), got 1"),
        ({"after": 1.5}, "after must be numbers of layers, such as"),
        (
            {"causal": True, "bidirectional": True},
            "bidirectional=True reads every sequence from its end too, so causal",
        ),
        ({"causal": True, "norm": "batch"}, 'causal=True may not have norm="batch"'),
        ({"subsample": (1, 2)}, "subsample must be None, an integer, or one integer per axis"),
    ],
)
def test_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        NonLocalGRU(**{"input_size": 3, "hidden_size": 4, **options})


@pytest.mark.parametrize(
    ("x", "lengths", "message"),
    [
        (torch.zeros(5, 2, 4), None, "NonLocalGRU takes x with 3 channels, its input_size, got 4"),
        (torch.zeros(0, 2, 3), None, "NonLocalGRU takes sequences of at least one step, got T = 0"),
        (torch.zeros(3), None, r"NonLocalGRU takes x \(T, B, C\), \(T, C\) or a PackedSequence, got \(3,\)"),
        (torch.zeros(5, 2, 3).long(), None, "weights of torch.float32, got x of torch.int64"),
        (torch.zeros(5, 2, 3), [5, 0], "lengths must be from 1 to T = 5, got 0 for sequence 1"),
        (torch.zeros(5, 2, 3), [6, 2], "lengths must be from 1 to T = 5, got 6 for sequence 0"),
        (torch.zeros(5, 2, 3), [5], r"lengths must be \(B,\) = \(2,\), one a sequence, got \(1,\)"),
        (
            torch.zeros(5, 2, 3),
            torch.zeros(1, 2, 4),
            "lengths must be integers, got torch.float32; an initial state is",
        ),
        (torch.zeros(5, 2, 3), [None, 2], r"lengths must be B integers from 1 to T = 5, got \[None, 2\]"),
        (torch.zeros(5, 2, 3), "52", "lengths must be B integers from 1 to T = 5, got '52'"),
        (torch.zeros(5, 2, 3), [10**30, 2], "lengths must be B integers from 1 to T = 5, got"),
        (torch.zeros(5, 3), [5], "lengths is for a batch"),
        (
            pack_padded_sequence(torch.zeros(5, 1, 3), torch.tensor([4])),
            [4],
            "a PackedSequence says its lengths itself",
        ),
    ],
)
def test_inputs_are_refused_by_name(x, lengths, message):
    with pytest.raises(ValueError, match=message):
        NonLocalGRU(3, 4)(x, lengths)


def test_states_are_refused_by_name():
    x = torch.zeros(5, 2, 3)
    with pytest.raises(
        ValueError, match=r"h of hx must be \(layers \* directions, B, hidden_size\) = \(1, 2, 4\), got"
    ):
        NonLocalGRU(3, 4)(x, hx=torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match="c of hx must be"):
        NonLocalLSTM(3, 4)(x, hx=(torch.zeros(1, 2, 4), torch.zeros(2, 2, 4)))
    with pytest.raises(ValueError, match=r"beside one sequence .* directions, hidden_size\), without B, got"):
        NonLocalGRU(3, 4)(x[:, 0], hx=torch.zeros(1, 1, 4))
    with pytest.raises(ValueError, match=r"has weights of torch.float32, got hx of torch.float64: convert one"):
        NonLocalGRU(3, 4)(x, hx=torch.zeros(1, 2, 4).double())
    with pytest.raises(ValueError, match="hx must be h and c, got 1 parts"):
        NonLocalLSTM(3, 4)(x, hx=torch.zeros(1, 2, 4))


def test_batch_norm_is_for_sequences_of_one_length():
    made = NonLocalGRU(3, 4, norm="batch")
    made(torch.zeros(5, 2, 3))
    message = 'NonLocalGRU has blocks with norm="batch", whose statistics would hold the padding'
    with pytest.raises(ValueError, match=message):
        made.eval()(torch.zeros(5, 2, 3), [5, 5])
    with pytest.raises(ValueError, match=message):
        made(pack_padded_sequence(torch.zeros(5, 1, 3), torch.tensor([4])))


def test_from_torch_takes_its_own_class():
    with pytest.raises(ValueError, match=r"NonLocalGRU.from_torch takes an nn.GRU, got <class .*LSTM"):
        NonLocalGRU.from_torch(nn.LSTM(3, 4))
    with pytest.raises(ValueError, match="no projections, got a module with proj_size=2"):
        NonLocalLSTM.from_torch(nn.LSTM(3, 4, proj_size=2))
    plain = nn.GRU(3, 4).double().eval()
    made = NonLocalGRU.from_torch(plain)
    assert (next(made.blocks.parameters()).dtype, made.training) == (torch.float64, False)
