"""A sequence over several processes: equal to one, forward and backward (`parallel_cases.py` is what they run)."""

from __future__ import annotations

from processes import on_processes


def test_two_three_and_four_processes_sum_as_one_does() -> None:
    on_processes("functional.parallel_cases", 2, 3, 4)
