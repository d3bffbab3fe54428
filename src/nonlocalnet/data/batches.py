"""Which samples make the batch of each training step: a function of (seed, step), whatever the number of processes."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler


class StepBatchSampler(Sampler[list[tuple[int, int]]]):
    """The batches of a training run, resumable at any step, as lists of (epoch, index) for one process.

    Epochs are shuffled one after the other into one endless row of samples; step s takes the samples [s * G, (s + 1) *
    G) of it, G = `global_batch_size`, and rank r the r-th of `world_size` equal parts of those:

        epoch 0           epoch 1           epoch 2
        3 0 4 2 1 5 | 5 2 0 1 3 4 | ...                 6 samples, G = 4
        [step 0][step 1 ][step 2][...                   a step may hold the end of one epoch and the start of the next
        [r0][r1]                                        world_size = 2

    Args:
        num_samples: Samples in the data set.
        global_batch_size: Samples of a step over all processes, a multiple of `world_size`.
        total_steps: Steps of the whole run.
        start_step: First step to yield: the number of steps done before a resumption.
        seed: Seeds the shuffling; at least 0.
        rank: This process, in [0, world_size).
        world_size: Number of processes.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        num_samples: int,
        *,
        global_batch_size: int,
        total_steps: int,
        start_step: int = 0,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        for name, value, low in (
            ("num_samples", num_samples, 1),
            ("global_batch_size", global_batch_size, 1),
            ("total_steps", total_steps, 0),
            ("seed", seed, 0),
            ("world_size", world_size, 1),
        ):
            if value < low:
                raise ValueError(f"{name} must be at least {low}, got {value}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be from 0 to world_size - 1 ({world_size - 1}), got {rank}")
        if not 0 <= start_step <= total_steps:
            raise ValueError(f"start_step must be from 0 to total_steps ({total_steps}), got {start_step}")
        if global_batch_size % world_size:
            raise ValueError(
                f"global_batch_size must be a multiple of the number of processes ({world_size}), "
                f"got {global_batch_size}"
            )
        self.num_samples = num_samples
        self.global_batch_size = global_batch_size
        self.total_steps = total_steps
        self.start_step = start_step
        self.seed = seed
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return self.total_steps - self.start_step

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        share = self.global_batch_size // self.world_size
        epoch, order = -1, []
        for step in range(self.start_step, self.total_steps):
            first = step * self.global_batch_size + self.rank * share
            batch = []
            for position in range(first, first + share):
                wanted_epoch, place = divmod(position, self.num_samples)
                if wanted_epoch != epoch:
                    epoch, order = wanted_epoch, self._order(wanted_epoch)
                batch.append((epoch, order[place]))
            yield batch

    def _order(self, epoch: int) -> list[int]:
        # The last word sets this stream apart from the samples' own, which are seeded by (seed, epoch, index, attempt).
        state = np.random.SeedSequence([self.seed, epoch, 0, 0, 1]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0]))
        return torch.randperm(self.num_samples, generator=generator).tolist()
