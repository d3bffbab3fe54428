"""What takes long is said before it begins."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from nonlocalnet.block import KeyBlocks, LearnedPositions
from nonlocalnet.models.sequence import sound_gru, tokens_gru
from nonlocalnet.runs.sequence import long


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pairwise": "embedded_gaussian"}, True),
        ({"pairwise": "gaussian", "causal": True}, True),
        ({"pairwise": "dot_product", "subsample": KeyBlocks(4, 2)}, True),
        ({"pairwise": "dot_product"}, False),
        ({"pairwise": "concatenation"}, False),
        ({"pairwise": "embedded_gaussian", "window": 8}, False),
        ({"pairwise": "embedded_gaussian", "subsample": LearnedPositions(4)}, False),
    ],
)
def test_a_long_sequence_is_named_where_all_pairs_are_compared(
    options: dict[str, Any], said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    network = tokens_gru(num_classes=2, hidden_size=4, num_layers=2, **options)
    with caplog.at_level(logging.INFO):
        long.say_if_long(network, "a.txt", 2**17)
        assert not caplog.messages
        long.say_if_long(network, "a.txt", 2**20)
    assert [message.split(" and ")[0] for message in caplog.messages] == ["a.txt: 1,048,576 steps,"] * said


def test_steps_count_and_not_samples(caplog: pytest.LogCaptureFixture) -> None:
    network = sound_gru(num_classes=2, hidden_size=4, num_layers=2)
    with caplog.at_level(logging.INFO):
        long.say_if_long(network, "a.wav", 2**20)
        assert not caplog.messages
        hour = 3600 * 16000
        long.say_if_long(network, "a.wav", hour)
    assert caplog.messages[0].startswith(f"a.wav: {int(network.steps(torch.tensor([hour]))):,} steps, and")
