"""What a run would do and need, without starting it."""

from __future__ import annotations

from rich.console import Console

from nonlocalnet.runs.detection.config import DetectionRecipe
from nonlocalnet.runs.detection.show import show_recipe


def show_plan(console: Console, recipe: DetectionRecipe) -> None:
    """Print the length of a run, and what an image and the blocks cost."""
    console.print(
        f"{recipe.name}: {recipe.schedule.steps} steps of {recipe.optim.batch_size} images, learning rate "
        f"{recipe.optim.lr:g}",
    )
    show_recipe(console, recipe, model=recipe.model, size=None)
