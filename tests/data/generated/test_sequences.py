"""The adding problem, copy memory and associative recall are what their sources say, item by item."""

import numpy as np
import pytest
import torch

from nonlocalnet.data.generated.sequences import AddingProblem, AssociativeRecall, CopyMemory
from nonlocalnet.data.padded import IGNORED, collate


def test_adding():
    task = AddingProblem(300, length=11, seed=3)
    first, second = set(), set()
    for index in range(len(task)):
        item = task[index]
        values, marks = item["x"].T
        assert item["x"].dtype == item["target"].dtype == torch.float32
        assert values.min() >= 0
        assert values.max() < 1
        places = marks.nonzero().flatten().tolist()
        assert sorted(marks.tolist()) == [0] * 9 + [1, 1]
        assert item["target"] == pytest.approx(sum(float(values[place]) for place in places))
        first.add(places[0])
        second.add(places[1])
    assert first == set(range(5))
    assert second == set(range(5, 11))
    targets = torch.stack([task[index]["target"] for index in range(len(task))])
    assert float((targets - 1).square().mean()) == pytest.approx(1 / 6, abs=0.03)


def test_copy():
    task = CopyMemory(50, blanks=7, copied=3, seed=0)
    seen = set()
    for index in range(len(task)):
        item = task[index]
        x, target = item["x"].tolist(), item["target"].tolist()
        assert len(x) == len(target) == 13
        assert x[3:9] == [0] * 6
        assert x[9:] == [9] * 4
        assert target == [0] * 10 + x[:3]
        seen.update(x[:3])
    assert seen == set(range(1, 9))
    assert (task.num_inputs, task.num_classes) == (10, 9)
    assert len(CopyMemory(1, blanks=1000, seed=0)[0]["x"]) == 1020


def test_recall():
    task = AssociativeRecall(60, pairs=5, num_values=3, seed=0)
    orders, values = set(), set()
    for index in range(len(task)):
        item = task[index]
        x, target = item["x"].tolist(), item["target"].tolist()
        assert len(x) == len(target) == 15
        shown = dict(zip(x[:10:2], x[1:10:2], strict=True))
        assert sorted(shown) == sorted(x[10:]) == list(range(5))
        assert target[:10] == [IGNORED] * 10
        assert target[10:] == [shown[key] - 5 for key in x[10:]]
        orders.add(tuple(x[10:]))
        values.update(target[10:])
    assert values == {0, 1, 2}
    assert len(orders) > 30
    assert (task.num_inputs, task.num_classes) == (8, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: AddingProblem(9, length=40, seed=seed),
        lambda seed: CopyMemory(9, blanks=40, seed=seed),
        lambda seed: AssociativeRecall(9, pairs=12, seed=seed),
    ],
)
def test_items_are_functions_of_seed_and_index(make):
    task = make(1)
    one = [task[index]["x"] for index in range(9)]
    assert all(torch.equal(make(1)[0, index]["x"], one[index]) for index in reversed(range(9)))
    assert len({tuple(x.flatten().tolist()) for x in [*one, *(make(2)[index]["x"] for index in range(9))]}) == 18
    batch = collate([task[0], task[1]])
    assert batch["lengths"].tolist() == [len(one[0])] * 2
    with pytest.raises(IndexError):
        task[9]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AddingProblem(0, length=9, seed=0), "num_items must be at least 1, got 0"),
        (lambda: AddingProblem(1, length=1, seed=0), "length must be at least 2, got 1"),
        (lambda: AddingProblem(1, length=2, seed=-1), "seed must be at least 0, got -1"),
        (lambda: CopyMemory(1, blanks=0, seed=0), "blanks must be at least 1, got 0"),
        (lambda: CopyMemory(1, blanks=1, num_symbols=1, seed=0), "num_symbols must be at least 2, got 1"),
        (lambda: CopyMemory(1, blanks=1, copied=0, seed=0), "copied must be at least 1, got 0"),
        (lambda: AssociativeRecall(1, pairs=0, seed=0), "pairs must be at least 1, got 0"),
        (lambda: AssociativeRecall(1, pairs=1, num_values=1, seed=0), "num_values must be at least 2, got 1"),
    ],
)
def test_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_shortest():
    x = AddingProblem(1, length=2, seed=0)[0]["x"]
    assert x[:, 1].tolist() == [1, 1]
    assert CopyMemory(1, blanks=1, copied=1, seed=0)[0]["x"].tolist()[1:] == [9, 9]
    assert np.isfinite(x.numpy()).all()
