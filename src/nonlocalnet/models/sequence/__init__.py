"""Networks for text, sound and other sequences: PyTorch's recurrences with non-local blocks between their layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nonlocalnet.system.lazy import lazy_names

if TYPE_CHECKING:
    from nonlocalnet.models.sequence.factories import (
        features_gru,
        features_lstm,
        sound_gru,
        sound_lstm,
        tokens_gru,
        tokens_lstm,
    )
    from nonlocalnet.models.sequence.log_mel import LogMel
    from nonlocalnet.models.sequence.network import SequenceNetwork
    from nonlocalnet.models.sequence.recurrent import NonLocalGRU, NonLocalLSTM

__all__ = [
    "LogMel",
    "NonLocalGRU",
    "NonLocalLSTM",
    "SequenceNetwork",
    "features_gru",
    "features_lstm",
    "sound_gru",
    "sound_lstm",
    "tokens_gru",
    "tokens_lstm",
]

_HOMES = {
    **dict.fromkeys(__all__, "factories"),
    "LogMel": "log_mel",
    "NonLocalGRU": "recurrent",
    "NonLocalLSTM": "recurrent",
    "SequenceNetwork": "network",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
