"""Sequence networks as folders, by huggingface_hub's mixin."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
import torch

from nonlocalnet import from_checkpoint
from nonlocalnet.models import sequence
from nonlocalnet.models.sequence import SequenceNetwork
from nonlocalnet.models.sequence.network import fresh_card

NETWORKS = {
    "features_gru": {"input_size": 2, "task": "regress", "after": ()},
    "tokens_lstm": {"num_classes": 2, "task": "tag"},
    "sound_gru": {"num_classes": 2},
}
INPUTS = {"features_gru": torch.randn(2, 5, 2), "tokens_lstm": torch.zeros(2, 5).long(), "sound_gru": torch.rand(2, 99)}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folder_comes_back_as_the_network(name, tmp_path):
    network = getattr(sequence, name)(hidden_size=4, **NETWORKS[name]).eval()
    if network.num_classes is not None:
        network.card = replace(fresh_card(network), class_names=["yes", "no"], licence="MIT")
    network.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    for other in (SequenceNetwork.from_pretrained(tmp_path), from_checkpoint(tmp_path)):
        assert (other.card, other.training) == (network.whole_card(), False)
        assert torch.equal(other(INPUTS[name]), network(INPUTS[name]))
        other.save_pretrained(tmp_path)
    text = (tmp_path / "README.md").read_text()
    for line in (
        f"# {name}",
        'network = SequenceNetwork.from_pretrained(".")  # this folder',
        {"features_gru": "2 numbers a step", "tokens_lstm": "256 tokens", "sound_gru": "at 8000 Hz"}[name],
        {
            "features_gru": f"`{name}` of `nonlocalnet`: a number",
            "tokens_lstm": "1 no",
            "sound_gru": "blocks (embedded",
        }[name],
    ):
        assert line in text


def test_copies_keep_what_it_was_built_from():
    network = sequence.sound_gru(num_classes=2, hidden_size=4)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert other.built_from == network.built_from
        assert torch.equal(other(INPUTS["sound_gru"]), network(INPUTS["sound_gru"]))
