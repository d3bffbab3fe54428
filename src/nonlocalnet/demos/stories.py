"""The demos by name: one row each, which `nonlocalnet demo --task NAME` reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from nonlocalnet.demos import adding, adding_table, far_images, far_images_table, long_range, long_range_table


class ShowResults(Protocol):
    """Prints what a demo came to."""

    def __call__(self, console: Console, results: dict[str, Any], out: Path, *, seconds: float) -> None:
        """Print."""
        ...


@dataclass(frozen=True)
class Story:
    """A demo.

    Attributes:
        text: What it does.
        size: The class of its sizes, whose defaults are what its claim was measured with.
        smallest: A size of seconds.
        run: Runs it in a new or empty folder.
        show: Prints what it came to.
    """

    text: str
    size: type[Any]
    smallest: Any
    run: Callable[..., dict[str, Any]]
    show: ShowResults


_FAR = (
    "Generate images in COCO's format in which one edge decides about the other, train a small detector without "
    "blocks, with local ones and with non-local ones on the same budget, and test them."
)

STORIES = {
    "videos": Story(
        "Generate videos whose class is a relation far apart in space and time, train a small C2D with and without "
        "non-local blocks on the same budget, and test both.",
        long_range.DemoSize,
        long_range.SMALLEST,
        long_range.run_long_range_demo,
        long_range_table.show_results,
    ),
    **{
        task: Story(
            _FAR,
            far_images.FarDemoSize,
            far_images.SMALLEST,
            partial(far_images.run_far_demo, task),
            partial(far_images_table.show_results, task),
        )
        for task in far_images.TASKS
    },
    "sequence": Story(
        "Train a GRU alone and with non-local blocks behind it on the adding problem, on one budget, and test all.",
        adding.AddingDemoSize,
        adding.SMALLEST,
        adding.run_adding_demo,
        adding_table.show_results,
    ),
}
