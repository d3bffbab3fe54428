"""The networks: heads and fronts, padding, and what they refuse."""

from __future__ import annotations

import copy
import inspect

import pytest
import torch

from nonlocalnet.models import sequence
from nonlocalnet.models.sequence.architectures import ARCHITECTURES
from nonlocalnet.models.sequence.network import build

SMALL = {"hidden_size": 6, "zero_init": False}
# Of each front: its arguments, and a maker of inputs.
FRONTS = {
    "features": ({"input_size": 3}, lambda steps: torch.randn(len(LENGTHS), steps, 3)),
    "tokens": ({"vocabulary_size": 9, "embedding_size": 4}, lambda steps: torch.randint(0, 9, (len(LENGTHS), steps))),
    "sound": ({"n_fft": 8, "hop_length": 3, "n_mels": 2}, lambda steps: torch.rand(len(LENGTHS), steps) * 2 - 1),
}
LENGTHS = [20, 1, 13]
TASKS = {"classify": {"num_classes": 5}, "tag": {"num_classes": 5}, "regress": {}}


def made(name, task="classify", **options):
    return build(name, {**SMALL, **FRONTS[name.split("_")[0]][0], "task": task, **TASKS[task], **options})


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_factory_builds_what_its_name_says(name):
    front, recurrence = name.split("_")
    factory = getattr(sequence, name)
    network = factory(num_classes=5)
    assert type(network.front).__name__ == {"features": "Features", "tokens": "Embedded", "sound": "LogMel"}[front]
    assert type(network.recurrence).__name__ == f"NonLocal{recurrence.upper()}"
    assert (network.num_classes, network.task, network.training) == (5, "classify", True)
    shown = inspect.signature(factory).parameters
    assert {**{option: shown[option].default for option in network.built_from["arguments"]}, "num_classes": 5} == (
        network.built_from["arguments"]
    )
    assert network.recurrence.blocks["0"].norm is not None
    assert len(factory(num_classes=5, after=()).recurrence.blocks) == 0


@pytest.mark.parametrize("options", [{}, {"pool": "mean", "num_layers": 2}, {"bidirectional": True, "subsample": 2}])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["features_gru", "tokens_lstm", "sound_gru"])
def test_a_result_hangs_on_its_sequence_alone(name, task, options):
    network = made(name, task, **options)
    x = FRONTS[name.split("_")[0]][1](20)
    filled = x.clone()
    for index, length in enumerate(LENGTHS):
        filled[index, length:] = -7 if x.dtype == torch.int64 else float("nan")
    for mode in (True, False):
        network.train(mode)
        for run in (network, network.scores):
            results = run(filled, LENGTHS)
            assert results.shape[:1] + results.shape[2:] == {"classify": (3,), "regress": (3,), "tag": (3, 5)}[task]
            for index, length in enumerate(LENGTHS):
                alone = run(x[index : index + 1, :length])[0]
                result = results[index]
                if task == "tag":
                    assert len(alone) == network.steps(torch.tensor(length))
                    assert not result[len(alone) :].any()
                    result = result[: len(alone)]
                torch.testing.assert_close(result, alone, atol=1e-6, rtol=1e-6)


def test_scores_are_probabilities():
    network = made("tokens_gru", "tag")
    scores = network.scores(torch.zeros(2, 7, dtype=torch.uint8), [7, 4])
    torch.testing.assert_close(scores.sum(dim=2), torch.tensor([[1.0] * 7, [1.0] * 4 + [0.0] * 3]))
    torch.testing.assert_close(made("tokens_gru").scores(torch.zeros(2, 7).long()).sum(dim=1), torch.ones(2))


def test_last_is_where_each_direction_ends():
    """The state that PyTorch calls final; blocks left out, which change it."""
    network = made("features_lstm", bidirectional=True, after=())
    x = torch.randn(3, 20, 3)
    _, (h, _) = network.recurrence(x, LENGTHS)
    expected = network.head.projection(torch.cat([h[0], h[1]], dim=1))
    torch.testing.assert_close(network(x, LENGTHS), expected)
    h = network.recurrence(x)[1][0]
    torch.testing.assert_close(network(x), network.head.projection(torch.cat([h[0], h[1]], dim=1)))


def test_mean_is_over_what_is_no_padding():
    network = made("features_gru", pool="mean")
    x = torch.randn(3, 20, 3)
    output, _ = network.recurrence(x, LENGTHS)
    expected = torch.stack([output[i, :n].mean(dim=0) for i, n in enumerate(LENGTHS)])
    torch.testing.assert_close(network(x, LENGTHS), network.head.projection(expected))


def test_dropout_is_before_the_head_too():
    network = made("features_gru", dropout=1.0)
    assert torch.equal(network(torch.randn(3, 5, 3)), network.head.projection.bias.expand(3, 5))
    assert not torch.equal(network.eval()(torch.randn(3, 5, 3)), network.head.projection.bias.expand(3, 5))
    assert made("features_gru", dropout=0.5, num_layers=2).recurrence.dropout == 0.5


@pytest.mark.parametrize("name", ["features_gru", "tokens_gru", "sound_lstm"])
def test_empty_batch_half_and_copies(name):
    network = made(name)
    x = FRONTS[name.split("_")[0]][1](20)
    assert network(x[:0], []).shape == (0, 5)
    expected = network(x, LENGTHS)
    assert torch.equal(copy.deepcopy(network)(x, LENGTHS), expected)
    half = copy.deepcopy(network).bfloat16()
    got = half(x.bfloat16() if x.is_floating_point() else x, LENGTHS)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), expected, atol=0.1, rtol=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = network(x, LENGTHS)
    torch.testing.assert_close(got.float(), expected, atol=0.1, rtol=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "num_classes must be a positive integer, got None"),
        ({"task": "regress", "num_classes": 2}, 'task="regress" gives one number a sequence: leave out num_classes'),
        ({"task": "guess"}, "task must be one of 'classify', 'tag', 'regress', got 'guess'"),
        ({"num_classes": 2, "pool": "max"}, "pool must be one of 'last', 'mean', got 'max'"),
        ({"num_classes": 2, "dropout": 2}, "dropout must be a probability from 0 to 1, got 2"),
        ({"num_classes": 2, "num_layers": 65}, "num_layers may be 64 at most, got 65"),
        ({"num_classes": 2, "num_layers": "two"}, "num_layers must be a positive integer, got 'two'"),
        ({"num_classes": 2, "embedding_size": 0}, "embedding_size must be a positive integer, got 0"),
        ({"num_classes": 2, "causal": True, "bidirectional": True}, "bidirectional=True reads every sequence from"),
    ],
)
def test_arguments_are_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        build("tokens_gru", arguments)


def test_what_is_not_there_is_refused_by_name():
    with pytest.raises(ValueError, match=r"architecture must be one of features_gru, .*, got 'gru'"):
        build("gru", {})
    with pytest.raises(TypeError, match=r"features_gru takes inner_channels, .*, input_size, got sample_rate"):
        build("features_gru", {"sample_rate": 8000})


@pytest.mark.parametrize(
    ("name", "x", "lengths", "message"),
    [
        ("tokens_gru", torch.full((1, 4), 9), None, "tokens must be from 0 to vocabulary_size - 1 = 8, got 9"),
        ("tokens_gru", torch.full((1, 4), -1), None, "tokens must be from 0 to vocabulary_size - 1 = 8, got -1"),
        ("tokens_gru", torch.zeros(1, 4), None, r"tokens are integers x \(B, T\), got torch.float32 \(1, 4\)"),
        ("tokens_gru", torch.zeros(4).long(), [4], r"tokens are integers x \(B, T\), got torch.int64 \(4,\)"),
        ("tokens_gru", torch.zeros(1, 0).long(), None, "sequences of at least one step, got T = 0"),
        ("tokens_gru", torch.zeros(2, 4).long(), [4, 0], "lengths must be from 1 to T = 4, got 0 for sequence 1"),
        ("features_gru", torch.zeros(1, 4), None, r"features are floating point x \(B, T, C\) with C = 3, got"),
        ("features_gru", torch.zeros(1, 4, 3).double(), None, "weights of torch.float32, got x of torch.float64"),
        ("sound_gru", torch.zeros(1, 900).int(), None, "a sound is floating point from -1 to 1, got torch.int32"),
        ("sound_gru", torch.zeros(1, 900), [901], "lengths must be from 1 to T = 900, got 901 for sequence 0"),
    ],
)
def test_inputs_are_refused_by_name(name, x, lengths, message):
    with pytest.raises(ValueError, match=message):
        made(name)(x, lengths)


def test_a_causal_network_knows_no_future():
    network = made("tokens_gru", "tag", causal=True, num_layers=2, norm=None)
    for block in network.recurrence.blocks.values():
        for parameter in block.parameters():
            parameter.data.mul_(30)
    x = torch.randint(0, 9, (2, 20))
    changed = torch.cat([x[:, :12], torch.randint(0, 9, (2, 8))], dim=1)
    torch.testing.assert_close(network(changed)[:, :12], network(x)[:, :12], atol=1e-6, rtol=1e-6)
    assert not torch.allclose(network(changed)[:, 12:], network(x)[:, 12:])
