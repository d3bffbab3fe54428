"""A block over several processes: equal to one, forward and backward (`parallel_cases.py` is what they run)."""

from __future__ import annotations

from processes import on_processes


def test_two_three_and_four_processes_are_one_block() -> None:
    on_processes("block.parallel_cases", 2, 3, 4)
