"""Batches of images that are all wide or all high, so that little of them is padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from nonlocalnet.data.batches import StepBatchSampler


class AspectRatioBatchSampler(Sampler[list[tuple[int, int]]]):
    """As `StepBatchSampler`, but every step's batch is of one orientation, over all processes together.

    Images are drawn in the endless row of shuffled epochs; each waits with those of its orientation until they make a
    batch:

        row       w h w w h w | h w ...         G = 2
        step 0    w   w                         the first two wide images
        step 1            w ... w
        step 2      h     h

    A step's batch is a function of (seed, step) alone: a resumed run draws the row again from its beginning, which
    takes a second for a million images.

    Args:
        is_wide: For every image, whether it is at least as wide as it is high.
        global_batch_size: Images of a step over all processes, a multiple of `world_size`.
        total_steps: Steps of the whole run.
        start_step: First step to yield.
        seed: At least 0.
        rank: This process, in [0, world_size).
        world_size: Number of processes.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        is_wide: Sequence[bool],
        *,
        global_batch_size: int,
        total_steps: int,
        start_step: int = 0,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._checked = StepBatchSampler(
            len(is_wide),
            global_batch_size=global_batch_size,
            total_steps=total_steps,
            start_step=start_step,
            seed=seed,
            rank=rank,
            world_size=world_size,
        )
        self.is_wide = list(is_wide)

    def __len__(self) -> int:
        return len(self._checked)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        settings = self._checked
        share = settings.global_batch_size // settings.world_size
        first = settings.rank * share
        for step, batch in enumerate(self._global_batches()):
            if step >= settings.total_steps:
                return
            if step >= settings.start_step:
                yield batch[first : first + share]

    def _global_batches(self) -> Iterator[list[tuple[int, int]]]:
        size = self._checked.global_batch_size
        # Of a batch size of 1, `total_steps` batches of `size` and two unfinished ones are a long enough row.
        row = StepBatchSampler(
            len(self.is_wide),
            global_batch_size=1,
            total_steps=(self._checked.total_steps + 2) * size,
            seed=self._checked.seed,
        )
        waiting: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
        for epoch, index in (batch[0] for batch in row):
            group = waiting[self.is_wide[index]]
            group.append((epoch, index))
            if len(group) == size:
                yield list(group)
                group.clear()
