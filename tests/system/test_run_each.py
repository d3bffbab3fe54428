"""The work is `eval` of an expression: a function that every process finds without importing anything."""

import os

import pytest

from nonlocalnet.system.processes import Done, choose_workers, run_each


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_is_done_once(workers):
    items = [f"{i} * {i}" for i in range(30)]
    assert sorted(run_each(eval, items, workers=workers)) == [Done(i, i * i) for i in range(30)]
    assert list(run_each(eval, [], workers=workers)) == []


def test_an_item_that_kills_its_process_is_named_and_the_others_are_done():
    items = [*map(str, range(7)), "__import__('os')._exit(1)", *map(str, range(8, 12))]
    done = dict(run_each(eval, items, workers=2))
    assert done == {i: None if i == 7 else i for i in range(12)}


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_are_raised_here(workers):
    with pytest.raises(ZeroDivisionError):
        list(run_each(eval, ["1", "1 / 0", "2"], workers=workers))


def test_the_number_of_workers():
    assert choose_workers(3) == 3
    assert 1 <= choose_workers(None) <= (os.cpu_count() or 1)
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        choose_workers(0)
