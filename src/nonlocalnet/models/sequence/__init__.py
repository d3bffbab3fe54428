"""Networks for text, sound and other sequences: PyTorch's recurrences with non-local blocks between their layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nonlocalnet.system.lazy import lazy_names

if TYPE_CHECKING:
    from nonlocalnet.models.sequence.recurrent import NonLocalGRU, NonLocalLSTM

__all__ = ["NonLocalGRU", "NonLocalLSTM"]

_HOMES = {"NonLocalGRU": "recurrent", "NonLocalLSTM": "recurrent"}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
