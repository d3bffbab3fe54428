"""A word before a sequence that takes long."""

from __future__ import annotations

import logging

import torch

from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models.sequence.network import SequenceNetwork

log = logging.getLogger(__name__)

# Steps that a block compares with each other in about a minute on two cores (docs/benchmarks.md).
LONG = 2**17


def say_if_long(network: SequenceNetwork, name: str, length: int) -> None:
    """Log that a sequence takes long where a block compares all of its steps with each other.

    Args:
        network: The network.
        name: What the sequence is called.
        length: Its steps or samples before the front.
    """
    steps = int(network.steps(torch.tensor([length])))
    if steps > LONG and any(block.compares_all for block in nonlocal_blocks(network).values()):
        without = "dot_product, concatenation, window and learned positions do not"
        told = "%s: %s steps, and the blocks compare each with all others: this takes minutes to hours (%s)"
        log.info(told, name, f"{steps:,}", without)
