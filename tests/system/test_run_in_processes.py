"""Shares of work on several processes: more shares than processes, what comes back, and what goes wrong."""

from __future__ import annotations

import pytest

from nonlocalnet.system.errors import ProcessError
from nonlocalnet.system.processes import run_in_processes
from system.squares import Squares


def test_every_share_is_done_once_and_its_items_are_told() -> None:
    told: list[int] = []
    assert run_in_processes(Squares(), shares=5, processes=2, on_item=told.append) == [0, 1, 4, 9, 16]
    assert sorted(told) == [rank for rank in range(5) for _ in range(rank)]


def test_the_error_of_a_share_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        run_in_processes(Squares(fails=1), shares=3, processes=2, on_item=print)


def test_a_process_that_dies_is_one_line_with_advice() -> None:
    with pytest.raises(ProcessError, match="one of 2 processes died, perhaps for want of memory; buy some"):
        run_in_processes(Squares(dies=1), shares=2, processes=2, on_item=print, advice="buy some")
