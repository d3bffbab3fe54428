"""One, two and three axes are all looked at as time, height and width.

An image is one frame; a signal is one frame of one row.
"""

from __future__ import annotations

from collections.abc import Sequence

from nonlocalnet.explanation.cells import Cells

Three = tuple[int, int, int]


def three(sizes: Sequence[int]) -> Three:
    """(T, H, W) of one to three axes, 1 for those that are missing.

    >>> three((20, 30))
    (1, 20, 30)
    """
    t, y, x = (1,) * (3 - len(sizes)) + tuple(sizes)
    return t, y, x


def cells_of_three(cells: Sequence[Cells]) -> tuple[Cells, Cells, Cells]:
    """Cells along (t, y, x); a missing axis is one pixel."""
    t, y, x = (Cells.of_input(1),) * (3 - len(cells)) + tuple(cells)
    return t, y, x
