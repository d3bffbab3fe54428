"""Another batch size than the recipe's: the linear rule.

With k times the batch, the learning rate is k times as high and every number of steps is divided by k, so that as many
clips or images are seen at each level of the schedule (Goyal et al., "Accurate, Large Minibatch SGD", arXiv
1706.02677). The paper's own settings keep to it: 64 clips at 0.01, 16 at 0.0025 and 8 at 0.00125.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from nonlocalnet.engine.config import Recipe, ScheduleConfig

_Recipe = TypeVar("_Recipe", bound=Recipe)


def scale_to_batch_size(recipe: _Recipe, batch_size: int) -> _Recipe:
    """The recipe for another batch size.

    Args:
        recipe: The run with its own batch size.
        batch_size: Clips or images of one step, at least 1.

    Returns:
        The recipe with `optim.batch_size`, `optim.lr` and, in `schedule`, `steps`, `milestones` and `warmup_steps`
        changed. Steps are rounded, to at least 1.

    Raises:
        ValueError: If the batch size is not positive, or so large that two milestones fall on one step.

    >>> smaller = scale_to_batch_size(Recipe("the paper's"), 8)
    >>> smaller.optim.lr, smaller.schedule.steps, smaller.schedule.milestones
    (0.00125, 3200000, (1200000, 2400000))
    """
    factor = batch_size / recipe.optim.batch_size
    schedule = recipe.schedule
    return replace(
        recipe,
        optim=replace(recipe.optim, batch_size=batch_size, lr=recipe.optim.lr * factor),
        schedule=replace(
            schedule,
            steps=max(round(schedule.steps / factor), 1),
            milestones=tuple(max(round(step / factor), 1) for step in schedule.milestones),
            warmup_steps=round(schedule.warmup_steps / factor),
        ),
    )


def scale_to_steps(schedule: ScheduleConfig, steps: int) -> ScheduleConfig:
    """The same schedule over another number of steps: milestones and warm-up keep their share of the run.

    >>> scale_to_steps(ScheduleConfig(steps=400_000, milestones=(150_000, 300_000)), 20).milestones
    (8, 15)
    """
    share = steps / schedule.steps
    milestones = tuple(sorted({max(1, round(step * share)) for step in schedule.milestones}))
    return replace(schedule, steps=steps, milestones=milestones, warmup_steps=round(schedule.warmup_steps * share))


def describe_scaling(before: Recipe, after: Recipe) -> str:
    """One line that says what the linear rule changed, and how to keep it from doing so; not what the user set."""
    rule = scale_to_batch_size(before, after.optim.batch_size)
    changes = [
        f"{section}.{name} {_shown(old)} -> {_shown(new)}"
        for section, names in (("optim", ("lr",)), ("schedule", ("steps", "milestones", "warmup_steps")))
        for name in names
        for old, new in ((getattr(getattr(before, section), name), getattr(getattr(after, section), name)),)
        if new != old and new == getattr(getattr(rule, section), name)
    ]
    sizes = f"optim.batch_size is {after.optim.batch_size}, the recipe's {before.optim.batch_size}"
    if not changes:
        return f"{sizes}; learning rate and schedule are as given"
    return f"{sizes}: by the linear rule {', '.join(changes)}; --no-rescale keeps the recipe's"


def _shown(value: float | tuple[int, ...]) -> str:
    return str(list(value)) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
