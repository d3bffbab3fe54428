"""The sequence networks by name: a front, a recurrence with non-local blocks, and a head.

features_*   steps of numbers (B, T, C): measurements, the adding problem
tokens_*     bytes or other tokens (B, T): text
sound_*      samples (B, S), through log-mels: sound
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import Unpack

from nonlocalnet.block import BlockOptions
from nonlocalnet.block.options import checked_block
from nonlocalnet.models.sequence.architectures import (
    ARCHITECTURES,
    FeaturesArguments,
    SoundArguments,
    TokensArguments,
)
from nonlocalnet.models.sequence.network import SequenceNetwork, build
from nonlocalnet.system.signatures import shows


@shows(FeaturesArguments, ARCHITECTURES["features_gru"].defaults)
def features_gru(*, block: BlockOptions | None = None, **options: Unpack[FeaturesArguments]) -> SequenceNetwork:
    """A GRU with non-local blocks on steps of numbers (B, T, C).

    Args:
        block: The block options, all in one; None for those of `BlockOptions` with ``norm="layer"``. They may be given
            by name, too.
        task: "classify": a class for each sequence; "tag": one for each step; "regress": a number for each sequence.
        num_classes: Classes or tags; None for "regress" only.
        pool: What a sequence's class or number is taken from: "last", the step at which each direction of the
            recurrence ends, or "mean" over all steps. A causal block or none leaves the early steps nothing of the
            late, so "last" is the default; "tag" takes every step.
        hidden_size: Channels of each layer and direction.
        num_layers: Recurrences, one after the other.
        bidirectional: Read every sequence from both ends; not with ``causal=True``.
        after: Numbers of the layers that a block follows, from 0. None: all but the last, or the only one. () for none.
        dropout: Probability of dropping a value, in training: between layers and before the head.
        input_size: C.

    Returns:
        The network in training mode.

    Raises:
        ValueError: An argument is out of range, or two do not go together.

    Example:
        >>> import torch
        >>> network = features_gru(input_size=2, task="regress", pairwise="dot_product")
        >>> network(torch.randn(4, 100, 2), lengths=[100, 80, 60, 40]).shape
        torch.Size([4])
    """
    return build("features_gru", _in_one(block, options))


@shows(FeaturesArguments, ARCHITECTURES["features_lstm"].defaults)
def features_lstm(*, block: BlockOptions | None = None, **options: Unpack[FeaturesArguments]) -> SequenceNetwork:
    """An LSTM in place of the GRU of `features_gru`; the arguments are the same."""
    return build("features_lstm", _in_one(block, options))


@shows(TokensArguments, ARCHITECTURES["tokens_gru"].defaults)
def tokens_gru(*, block: BlockOptions | None = None, **options: Unpack[TokensArguments]) -> SequenceNetwork:
    """A GRU with non-local blocks on tokens (B, T); the arguments are those of `features_gru`, with two for input_size.

    ``vocabulary_size`` is how many tokens there are: 256, the default, are the bytes of a text in UTF-8. Each is a
    learned vector of ``embedding_size``.
    """
    return build("tokens_gru", _in_one(block, options))


@shows(TokensArguments, ARCHITECTURES["tokens_lstm"].defaults)
def tokens_lstm(*, block: BlockOptions | None = None, **options: Unpack[TokensArguments]) -> SequenceNetwork:
    """An LSTM in place of the GRU of `tokens_gru`; the arguments are the same."""
    return build("tokens_lstm", _in_one(block, options))


@shows(SoundArguments, ARCHITECTURES["sound_gru"].defaults)
def sound_gru(*, block: BlockOptions | None = None, **options: Unpack[SoundArguments]) -> SequenceNetwork:
    """A GRU with non-local blocks on the log-mels of sounds (B, S), samples from -1 to 1.

    The arguments are those of `features_gru`, and for input_size those of `nonlocalnet.models.sequence.LogMel`:
    ``sample_rate``, ``n_fft``, ``hop_length``, ``n_mels``, ``f_min``, ``f_max``, ``mean`` and ``std``. Lengths are in
    samples, and the steps of a tagger are frames (`SequenceNetwork.steps`). Frames are centred: even with
    ``causal=True`` a step looks n_fft // 2 samples ahead.
    """
    return build("sound_gru", _in_one(block, options))


@shows(SoundArguments, ARCHITECTURES["sound_lstm"].defaults)
def sound_lstm(*, block: BlockOptions | None = None, **options: Unpack[SoundArguments]) -> SequenceNetwork:
    """An LSTM in place of the GRU of `sound_gru`; the arguments are the same."""
    return build("sound_lstm", _in_one(block, options))


def _in_one(block: BlockOptions | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """What is given by name replaces what stands in `block`."""
    return {**({} if block is None else vars(checked_block(block, BlockOptions))), **options}
