"""Between the datasets and the training: loaders, micro-batches, and an even choice of positions."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

from torch.utils.data import DataLoader, Dataset

from nonlocalnet.engine.config import OptimConfig
from nonlocalnet.system.processes import end_with_parent
from nonlocalnet.system.stops import outlast_the_parent


def make_loader(dataset: Dataset[Any], *, workers: int, **options: Any) -> DataLoader[Any]:
    """A loader whose workers end with the process that started them, however it ended.

    PyTorch's own watch takes for the parent whoever it finds when it begins. Where the parent was killed just before,
    that is the process that adopted the worker, and the worker waits for ever with the dead one's output held open.

    Args:
        dataset: What is loaded.
        workers: Worker processes; 0 for none.
        options: The further arguments of DataLoader.
    """
    return DataLoader(dataset, num_workers=workers, worker_init_fn=_begin_worker, **options)


def _begin_worker(_worker: int) -> None:
    outlast_the_parent()
    end_with_parent()


class BatchSampler(Protocol):
    """What `MicroBatches` divides: lists of a fixed length, one per optimiser step."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[list[Any]]: ...


class MicroBatches:
    """Every list of a batch sampler as `parts` consecutive lists of equal length.

    Args:
        sampler: Gives one list per optimiser step, whose length `parts` divides.
        parts: Micro-batches per optimiser step.

    >>> list(MicroBatches([[1, 2, 3, 4], [5, 6, 7, 8]], parts=2))
    [[1, 2], [3, 4], [5, 6], [7, 8]]
    """

    def __init__(self, sampler: BatchSampler, *, parts: int) -> None:
        self.sampler = sampler
        self.parts = parts

    def __len__(self) -> int:
        return len(self.sampler) * self.parts

    def __iter__(self) -> Iterator[list[Any]]:
        for batch in self.sampler:
            size = len(batch) // self.parts
            for part in range(self.parts):
                yield batch[part * size : (part + 1) * size]


@dataclass(frozen=True)
class TrainLoaders:
    """The loaders of a training's legs: called with its steps and the process, it gives that of one leg.

    The batches are a function of the seed and the step, whatever the workers and processes.

    Attributes:
        dataset: What is loaded.
        sampler: Makes the batch sampler of the steps [start_step, total_steps) for process `rank` of `world_size`, of
            `global_batch_size` and `seed`.
        optim: Says the batch of a step, and in how many micro-batches it is made.
        seed: Seeds the order.
        workers: Worker processes; 0 for none.
        options: Further arguments of DataLoader.
    """

    dataset: Dataset[Any]
    sampler: Callable[..., BatchSampler]
    optim: OptimConfig
    seed: int
    workers: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, *, start_step: int = 0, stop_step: int, rank: int = 0, world_size: int = 1) -> DataLoader[Any]:
        """Loader over the micro-batches of the steps [start_step, stop_step) for one process."""
        sampler = self.sampler(
            global_batch_size=self.optim.batch_size,
            total_steps=stop_step,
            start_step=start_step,
            seed=self.seed,
            rank=rank,
            world_size=world_size,
        )
        batches = MicroBatches(sampler, parts=self.optim.accumulate)
        return make_loader(self.dataset, workers=self.workers, batch_sampler=batches, **self.options)


class EvenShare(Dataset[tuple[Any, bool]]):
    """One process's share of a data set: every process gets as many items, because they run their batches in step.

    Items are (item, counted); beyond the end of the list the last item is repeated with `counted` false.

    Args:
        dataset: What is shared; at least one of its items.
        positions: Which of its items count.
        rank: Number of this process.
        world_size: Number of processes.
    """

    def __init__(self, dataset: Dataset[Any], *, positions: list[int], rank: int, world_size: int) -> None:
        self.dataset = dataset
        self.positions = positions
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return -(-len(self.positions) // self.world_size)

    def __getitem__(self, index: int) -> tuple[Any, bool]:
        place = index * self.world_size + self.rank
        counted = place < len(self.positions)
        return self.dataset[self.positions[place if counted else -1]], counted


def spread_evenly(size: int, limit: int | None) -> list[int]:
    """At most `limit` of the positions 0 ... size - 1, ascending, one of each of `limit` equal parts; all for None.

    Where in its part each lies is drawn, always the same: at regular distances they would be of one class in a list
    whose classes take turns.

    >>> spread_evenly(10, 4)
    [1, 4, 5, 7]
    """
    count = size if limit is None else min(limit, size)
    starts = [part * size // count for part in range(count + 1)] if count else [0]
    draw = random.Random(0)
    return [low + int(draw.random() * (high - low)) for low, high in pairwise(starts)]
