"""The sequence networks' names, for those who need no network."""

from __future__ import annotations

from typing import Literal

SequenceName = Literal["features_gru", "features_lstm", "tokens_gru", "tokens_lstm", "sound_gru", "sound_lstm"]
