"""Which keys a query has seen, as numbers on the host: where the blocks of a causal sum begin and end."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def on_host(seen_N: Tensor) -> np.ndarray:
    """(N,) int64, in a form that blocks are cut by."""
    if torch._C._are_functorch_transforms_active():  # what these wrap has no memory of its own to show
        return np.array(seen_N.tolist(), dtype=np.int64)
    return seen_N.detach().cpu().numpy()


def turned(seen_N: Tensor, keys: int) -> Tensor:
    """(M,) what the keys have seen of the queries when both are read from the end.

    Key j is used by the queries i with seen_i > j: the last of them. With both sides reversed these are the first.

        seen 1 2 2 4, M = 4     key 0 is used by 4 queries, key 1 by 3, keys 2 and 3 by 1: from the end 1 1 3 4
    """
    places = torch.arange(keys, device=seen_N.device)
    return (len(seen_N) - torch.searchsorted(seen_N, places, right=True)).flip(0)


def segments(seen: np.ndarray, size: int) -> list[tuple[int, int, int]]:
    """(block, first query, last + 1): the queries that have seen all keys before a block of `size`, and some in it."""
    blocks = seen // size
    begins = np.flatnonzero(np.diff(blocks, prepend=-1))
    ends = np.append(begins, len(seen))[1:]
    return [(int(blocks[begin]), int(begin), int(end)) for begin, end in zip(begins, ends, strict=True)]
