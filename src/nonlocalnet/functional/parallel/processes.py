"""The processes that share a sequence, and what they tell each other before they sum.

Whatever may be wrong with one part is told to all before anything is summed: a process that only raised its own error
would leave the others waiting for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist


@dataclass(frozen=True)
class SequenceParallel:
    """How a sequence lies over processes: one part each, one after the other in order of rank.

    Attributes:
        group: Of `torch.distributed`; every process in it takes part in every call and every backward pass.
        ring: For the Gaussian forms: pass keys and values round from process to process, so that each holds its own
            part and two more, and merge the sums by their log-sum-exp. False gathers all of them everywhere, which is
            faster where they fit. Through a ring there is no second derivative.
    """

    group: dist.ProcessGroup
    ring: bool = False

    @property
    def rank(self) -> int:
        """The number of this process in the group."""
        return dist.get_rank(self.group)

    @property
    def size(self) -> int:
        """The number of processes."""
        return dist.get_world_size(self.group)


def as_sequence_parallel(given: dist.ProcessGroup | SequenceParallel) -> SequenceParallel:
    """What a user gives as `sequence_parallel`, a group or the whole.

    Raises:
        ValueError: It is neither, or a group that this process is not in.
    """
    chosen = given if isinstance(given, SequenceParallel) else SequenceParallel(given)
    if not dist.is_available() or not isinstance(chosen.group, dist.ProcessGroup):
        raise ValueError(
            "sequence_parallel must be a process group of torch.distributed that this process is in, such as "
            f"torch.distributed.group.WORLD after init_process_group, or SequenceParallel(group); got {given!r}"
        )
    return chosen


def agree(
    parallel: SequenceParallel, own: Mapping[str, Any], *, alike: Mapping[str, Any], error: ValueError | None
) -> list[Mapping[str, Any]]:
    """What each process says of its part, in order of rank.

    Args:
        parallel: The processes.
        own: What this one says; plain values.
        alike: What must be the same on all, under the names that an error shows.
        error: What is wrong with this part; None where nothing is.

    Raises:
        ValueError: On every process, where one has an error or two differ.
    """
    told: list[Any] = [None] * parallel.size
    dist.all_gather_object(told, (None if error is None else str(error), dict(alike), dict(own)), group=parallel.group)
    if error is not None:
        raise error
    for rank, (refused, _, _) in enumerate(told):
        if refused is not None:
            raise ValueError(f"process {rank} of {parallel.size} in sequence_parallel refused its part: {refused}")
    for name, value in alike.items():
        values = [others[name] for _, others, _ in told]
        if any(other != value for other in values):
            raise ValueError(
                f"the processes of sequence_parallel must have the same {name}; got, in order of rank, "
                f"{', '.join(map(str, values))}"
            )
    return [said for _, _, said in told]
