from __future__ import annotations

from collections import Counter

import pytest
from torch.utils.data import DataLoader

from engine.toy import ToyVideos
from nonlocalnet.data.batches import StepBatchSampler
from nonlocalnet.engine.loaders import MicroBatches, spread_evenly
from nonlocalnet.runs.video.data import ValidationShare


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 7])
def test_every_video_is_counted_once_and_shares_are_equal(world_size: int) -> None:
    positions = [0, 2, 3, 5, 1]
    shares = [
        ValidationShare(ToyVideos(), positions=positions, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert len({len(share) for share in shares}) == 1
    items = [share[i] for share in shares for i in range(len(share))]
    counted = [item for item in items if item["counted"]]
    assert sorted(item["label"] for item in counted) == sorted(p % 3 for p in positions)
    assert [item["readable"] for item in counted].count(False) == 1


def test_micro_batches_hold_the_steps_samples_in_order() -> None:
    sampler = StepBatchSampler(10, global_batch_size=6, total_steps=4, start_step=1, seed=0)
    parts = MicroBatches(sampler, parts=3)
    assert len(parts) == 9 == len(list(parts))
    assert [key for part in parts for key in part] == [key for batch in sampler for key in batch]
    # A DataLoader takes it and believes its length.
    assert len(DataLoader(ToyVideos(), batch_sampler=parts)) == 9


@pytest.mark.parametrize(
    ("size", "limit", "expected"), [(3, None, [0, 1, 2]), (3, 9, [0, 1, 2]), (7, 3, [1, 3, 5]), (0, 3, [])]
)
def test_spread_evenly(size: int, limit: int | None, expected: list[int]) -> None:
    assert spread_evenly(size, limit) == expected


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
@pytest.mark.parametrize("size", [240, 1000, 1200])
def test_a_part_of_a_list_has_every_class_whether_they_take_turns_or_stand_together(size: int, classes: int) -> None:
    for limit in (60, 120, 250, 500):
        positions = spread_evenly(size, limit)
        assert positions == sorted(set(positions))
        assert len(positions) == min(limit, size)
        for labels in ([i % classes for i in range(size)], [i * classes // size for i in range(size)]):
            counts = Counter(labels[position] for position in positions)
            mean = len(positions) / classes
            assert all(abs(counts[label] - mean) <= 3 * mean**0.5 for label in range(classes))
