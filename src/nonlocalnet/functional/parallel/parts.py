"""How the keys of one sum lie over the processes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nonlocalnet.functional.masking import all_kept
from nonlocalnet.functional.parallel.collectives import all_sum, gather_rows, gathered
from nonlocalnet.functional.parallel.processes import SequenceParallel


@dataclass(frozen=True)
class Parts:
    """The keys of all processes, as this one knows them.

    Attributes:
        parallel: The processes.
        keys: M of each, in order of rank.
        masked: Whether any of them leaves keys out.
    """

    parallel: SequenceParallel
    keys: tuple[int, ...]
    masked: bool

    @property
    def before(self) -> int:
        """Keys of the processes before this one."""
        return sum(self.keys[: self.parallel.rank])

    @property
    def until(self) -> int:
        """Keys of these and of this one."""
        return sum(self.keys[: self.parallel.rank + 1])

    def gathered(self, *own: Tensor) -> tuple[Tensor, ...]:
        """(B, M, ...) of all keys for each (B, own keys, ...)."""
        return gathered(own, self.keys, self.parallel.group)

    def mask(self, key_mask: Tensor | None, like_BM: Tensor) -> Tensor | None:
        """(B, own keys), where any process leaves keys out; else None."""
        if not self.masked or key_mask is not None:
            return key_mask
        return all_kept(like_BM)

    def gathered_mask(self, key_mask: Tensor | None, like_BM: Tensor) -> Tensor | None:
        """(B, M) of all keys, where any is left out; else None."""
        mask = self.mask(key_mask, like_BM)
        return None if mask is None else gather_rows(mask.to(torch.uint8), self.keys, self.parallel.group).bool()

    def kept(self, key_mask: Tensor | None, like_BM: Tensor) -> Tensor:
        """(B, 1, 1) int64, how many of all keys are kept."""
        mask = self.mask(key_mask, like_BM)
        if mask is None:
            return torch.full((len(like_BM), 1, 1), sum(self.keys), device=like_BM.device)
        return self.sum(mask.sum(dim=1)).view(-1, 1, 1)

    def kept_before(self, key_mask: Tensor | None, like_BM: Tensor) -> Tensor:
        """(B, 1, 1) int64, how many keys of the processes before this one are kept."""
        mask = self.mask(key_mask, like_BM)
        if mask is None:
            return torch.full((len(like_BM), 1, 1), self.before, device=like_BM.device)
        return self.sum_before(mask.sum(dim=1)).view(-1, 1, 1)

    def sum(self, own: Tensor) -> Tensor:
        """The sum of what all processes give."""
        return all_sum(own, self.parallel.group)

    def sum_before(self, own_B: Tensor) -> Tensor:
        """The sum of what the processes before this one give, (B, ...) each; 0 on the first."""
        (each_BP,) = gathered((own_B.unsqueeze(1),), (1,) * self.parallel.size, self.parallel.group)
        return each_BP[:, : self.parallel.rank].sum(dim=1)
