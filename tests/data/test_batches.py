import itertools
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nonlocalnet.data.batches import StepBatchSampler


def flat(batches):
    return list(itertools.chain.from_iterable(batches))


def test_epochs_follow_one_another_and_each_holds_every_sample_once():
    samples = flat(StepBatchSampler(10, global_batch_size=4, total_steps=10, seed=3))
    assert [epoch for epoch, _ in samples] == [0] * 10 + [1] * 10 + [2] * 10 + [3] * 10
    orders = [[index for epoch, index in samples if epoch == e] for e in range(4)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_seed_decides():
    def batches(seed):
        return list(StepBatchSampler(50, global_batch_size=5, total_steps=10, seed=seed))

    assert batches(1) == batches(1)
    assert batches(1) != batches(2)


@given(
    num_samples=st.integers(1, 20),
    share=st.integers(1, 5),
    world_size=st.integers(1, 4),
    start=st.integers(0, 6),
    seed=st.integers(0, 3),
)
def test_ranks_divide_the_global_batch_and_a_resumption_continues(num_samples, share, world_size, start, seed):
    settings = {"global_batch_size": share * world_size, "total_steps": 6, "seed": seed}
    whole = list(StepBatchSampler(num_samples, **settings))
    assert len(whole) == 6
    ranks = [
        StepBatchSampler(num_samples, **settings, start_step=start, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    assert all(len(sampler) == 6 - start for sampler in ranks)
    assert [flat(parts) for parts in zip(*ranks, strict=True)] == whole[start:]


def test_the_sampler_can_be_iterated_again_and_pickled():
    sampler = StepBatchSampler(7, global_batch_size=3, total_steps=5, seed=0)
    assert list(sampler) == list(sampler) == list(pickle.loads(pickle.dumps(sampler)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_samples": 0}, "num_samples must be at least 1, got 0"),
        ({"global_batch_size": 0}, "global_batch_size must be at least 1, got 0"),
        ({"total_steps": -1}, "total_steps must be at least 0, got -1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"world_size": 0}, "world_size must be at least 1, got 0"),
        ({"world_size": 3}, r"global_batch_size must be a multiple of the number of processes \(3\), got 4"),
        ({"rank": 1}, r"rank must be from 0 to world_size - 1 \(0\), got 1"),
        ({"start_step": 6}, r"start_step must be from 0 to total_steps \(5\), got 6"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        StepBatchSampler(**{"num_samples": 9, "global_batch_size": 4, "total_steps": 5, "seed": 0, **changes})
