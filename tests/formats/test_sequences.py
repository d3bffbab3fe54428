"""Files of networks for sequences: written, opened, and refused where they are not whole."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from nonlocalnet import formats, from_checkpoint
from nonlocalnet.models import sequence
from nonlocalnet.models.sequence.card import SequenceCard
from nonlocalnet.models.sequence.network import SequenceNetwork, fresh_card
from nonlocalnet.models.weights_file import to_bytes

NETWORKS = {
    "features_gru": {"task": "regress", "input_size": 2, "after": (), "num_layers": 2},
    "tokens_lstm": {"task": "tag", "num_classes": 3, "vocabulary_size": 4, "subsample": (2,), "bidirectional": True},
    "sound_gru": {"num_classes": 3, "n_fft": 32, "hop_length": 9, "n_mels": 2, "pairwise": "concatenation"},
}
INPUTS = {
    "features_gru": torch.randn(2, 7, 2),
    "tokens_lstm": torch.tensor([[0, 3, 2], [1, 1, 1]]),
    "sound_gru": torch.rand(2, 50) * 2 - 1,
}
NAMES = ["yes", "no", "\x1b[31mperhaps"]


def made(name) -> SequenceNetwork:
    network = getattr(sequence, name)(hidden_size=4, zero_init=False, **NETWORKS[name]).eval()
    named = {} if network.num_classes is None else {"class_names": NAMES}
    if name == "tokens_lstm":
        named["vocabulary"] = ["<unknown>", "a", "b", "c"]
    network.card = replace(fresh_card(network), **named)
    return network


@pytest.fixture
def file(tmp_path):
    def write(content):
        path = tmp_path / "network.safetensors"
        path.write_bytes(content)
        return path

    return write


def tampered(network, **changes):
    """A file whose card says something else than its tensors."""
    plain = json.loads(json.dumps(network.card.plain()))
    arguments = changes.pop("arguments", {})
    plain["model"]["arguments"] |= arguments
    plain |= changes

    class Said:
        def plain(self):
            return plain

    return to_bytes(network.state_dict(), Said())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_is_all_it_takes(name, file, tmp_path):
    network = made(name)
    expected = network.scores(INPUTS[name])
    checkpoint = tmp_path / "last.ckpt"
    state = {f"model.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state, "nonlocalnet": network.card.plain()}, checkpoint)
    for path in (file(formats.encode(network, to="nonlocalnet")), checkpoint):
        opened = from_checkpoint(path)
        assert isinstance(opened, SequenceNetwork)
        assert isinstance(opened.card, SequenceCard)
        assert torch.equal(opened.scores(INPUTS[name]), expected)
        assert (opened.card, opened.training) == (network.card, False)
    assert opened.card.kind == "sequence"
    assert opened.card.class_names == (None if name == "features_gru" else NAMES)


def test_a_fresh_network_is_written_with_what_it_was_built_from(file):
    network = sequence.sound_lstm(num_classes=2, hidden_size=4, sample_rate=16000, n_fft=512).eval()
    opened = from_checkpoint(file(formats.encode(network, to="nonlocalnet")))
    assert opened.card.arguments["sample_rate"] == opened.front.sample_rate == 16000
    assert torch.equal(opened.front.filters, network.front.filters)
    network.built_from = None
    with pytest.raises(ValueError, match=r"built by hand; build it by a factory of nonlocalnet.models.sequence"):
        formats.encode(network, to="nonlocalnet")


def test_other_classes_are_a_fresh_head(file):
    network = made("tokens_lstm")
    opened = from_checkpoint(file(formats.encode(network, to="nonlocalnet")), num_classes=7)
    assert (opened.num_classes, opened.card.class_names) == (7, None)
    assert opened.card.vocabulary == network.card.vocabulary
    assert torch.equal(opened.recurrence.layers[0].weight_ih_l0, network.recurrence.layers[0].weight_ih_l0)
    with pytest.raises(ValueError, match="gives one number a sequence: leave out num_classes, got 7"):
        from_checkpoint(file(formats.encode(made("features_gru"), to="nonlocalnet")), num_classes=7)


def test_what_does_not_fit_is_named_and_left_where_asked(file):
    path = file(tampered(made("sound_gru"), arguments={"hidden_size": 5}))
    with pytest.raises(
        ValueError, match=r"does not fit the checkpoint's own card: .*recurrence.layers.0.bias_hh_l0 has the shape"
    ):
        from_checkpoint(path)
    assert from_checkpoint(path, strict=False).recurrence.hidden_size == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arguments": {"hidden_size": 10**7}}, "describes a network of .* numbers and holds"),
        ({"arguments": {"num_layers": 10**7}}, "num_layers may be 64 at most, got 10000000"),
        ({"arguments": {"n_fft": 10**9}}, "n_fft may be 32768 and n_mels 512 at most"),
        ({"arguments": {"f_max": "high"}}, "the network does not fit the checkpoint's own card"),
        ({"arguments": {"colour": 1}}, "sound_gru takes .*, got colour"),
        ({"class_names": ["one"]}, "its card is not whole: it has 1 class_names, and num_classes=3"),
        ({"class_names": [1, 2, 3]}, "its card is not whole: its class_names are not all text"),
        ({"vocabulary": "abc"}, "its card is not whole: its vocabulary is a str"),
        ({"format": 2}, "has checkpoint format 2, this version reads 1"),
        ({"kind": "smell"}, "holds a network of the kind 'smell', not 'video'"),
    ],
)
def test_cards_that_are_not_whole_are_refused(changes, message, file):
    with pytest.raises(ValueError, match=message):
        from_checkpoint(file(tampered(made("sound_gru"), **changes)))


def test_kinds_are_told_apart(file):
    path = file(formats.encode(made("sound_gru"), to="nonlocalnet"))
    with pytest.raises(ValueError, match="holds a network for sequences, not one that classifies videos: open it with"):
        formats.plan_file(path)
    with pytest.raises(
        ValueError, match="its card describes the whole network for sequences: leave out clip, pairwise"
    ):
        from_checkpoint(path, clip="8x8")
    with pytest.raises(
        ValueError, match="no other program reads networks for sequences: to must be 'nonlocalnet', got"
    ):
        formats.encode(made("sound_gru"), to="caffe2")
    with pytest.raises(ValueError, match="holds a network of the kind 'video', not 'sequence'"):
        formats.plan_sequence(formats.open_file(file(tampered(made("sound_gru"), kind="video"))))
