"""The sequence networks by name: what each is made of and what it takes, one row each.

Every argument of a row has its default here; `features_gru` of `nonlocalnet.models.sequence` says what each means.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from nonlocalnet.block import BlockArguments
from nonlocalnet.models.sequence.front import Embedded, Features, LogMel
from nonlocalnet.models.sequence.names import SequenceName
from nonlocalnet.models.sequence.recurrent import SEQUENCE_BLOCK, NonLocalGRU, NonLocalLSTM

Task = Literal["classify", "tag", "regress"]
Pool = Literal["last", "mean"]


class SequenceArguments(BlockArguments, total=False):
    """What every network takes."""

    task: Task
    num_classes: int | None
    pool: Pool
    hidden_size: int
    num_layers: int
    bidirectional: bool
    after: Sequence[int] | None
    dropout: float


class FeaturesArguments(SequenceArguments, total=False):
    """What a network of steps of numbers takes."""

    input_size: int


class TokensArguments(SequenceArguments, total=False):
    """What a network of bytes or other tokens takes."""

    vocabulary_size: int
    embedding_size: int


class SoundArguments(SequenceArguments, total=False):
    """What a network of sounds takes."""

    sample_rate: int
    n_fft: int
    hop_length: int
    n_mels: int
    f_min: float
    f_max: float | None
    mean: float
    std: float


OWN_DEFAULTS: dict[str, Any] = {
    "task": "classify",
    "num_classes": None,
    "pool": "last",
    "hidden_size": 64,
    "num_layers": 1,
    "bidirectional": False,
    "after": None,
    "dropout": 0.0,
}


@dataclass(frozen=True)
class SequenceArchitecture:
    """One network by name.

    Attributes:
        front: What it reads.
        recurrence: What goes through it.
        arguments: The TypedDict of its keyword arguments.
    """

    front: type[Features | Embedded | LogMel]
    recurrence: type[NonLocalGRU | NonLocalLSTM]
    arguments: type

    @property
    def front_defaults(self) -> dict[str, Any]:
        """The front's keyword arguments with their defaults."""
        return {name: parameter.default for name, parameter in inspect.signature(self.front).parameters.items()}

    @property
    def defaults(self) -> dict[str, Any]:
        """Its keyword arguments with their defaults."""
        known = {**OWN_DEFAULTS, **vars(SEQUENCE_BLOCK), **self.front_defaults}
        return {name: known[name] for name in get_type_hints(self.arguments)}


ARCHITECTURES: dict[SequenceName, SequenceArchitecture] = {
    "features_gru": SequenceArchitecture(Features, NonLocalGRU, FeaturesArguments),
    "features_lstm": SequenceArchitecture(Features, NonLocalLSTM, FeaturesArguments),
    "tokens_gru": SequenceArchitecture(Embedded, NonLocalGRU, TokensArguments),
    "tokens_lstm": SequenceArchitecture(Embedded, NonLocalLSTM, TokensArguments),
    "sound_gru": SequenceArchitecture(LogMel, NonLocalGRU, SoundArguments),
    "sound_lstm": SequenceArchitecture(LogMel, NonLocalLSTM, SoundArguments),
}
