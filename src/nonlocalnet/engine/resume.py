"""Where a run goes on, and that it is the same run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from nonlocalnet.engine.config import SECTIONS, Recipe, plain_section
from nonlocalnet.engine.run_folder import BEST, LAST, RECIPE
from nonlocalnet.system.files import is_partial_of
from nonlocalnet.system.folder_lock import hold_folder

log = logging.getLogger(__name__)


FREE_TRAINER_FIELDS = frozenset(
    {"device", "devices", "num_nodes", "strategy", "val_every", "checkpoint_every", "log_every", "limit_val"}
)
"""Of the section trainer, for every kind of run: none changes what a training step computes."""


class SavedRun(NamedTuple):
    """What a checkpoint says of the run that wrote it.

    Attributes:
        recipe: The run.
        step: Optimiser steps made.
        start: What its network started from, as a card has it; None for nothing.
    """

    recipe: Recipe
    step: int
    start: dict[str, Any] | None


def run_to_resume(
    recipe: Recipe, out: Path, *, read: Callable[[Path], SavedRun], free: Mapping[str, Collection[str]]
) -> SavedRun | None:
    """What the checkpoint to resume says; None where the run has none yet.

    Args:
        recipe: As asked for now.
        out: Folder of the run.
        read: Reads a checkpoint of this kind of run.
        free: Fields by section that may differ from the run's: none of them changes what a training step computes.

    Raises:
        ValueError: If the folder holds no run, or another field differs.
        OutputError: If another process goes on with the run.
    """
    if out.is_dir():
        hold_folder(out)  # before its checkpoint is read
    last = out / LAST
    if last.is_dir():
        raise ValueError(f"{last} is a folder, where a run has its newest checkpoint: move it away")
    if not last.exists():
        if (out / BEST).exists():
            raise ValueError(
                f"{out} holds a {BEST} and no {LAST}, from which a run goes on; start another one from it: "
                f"--init {out / BEST}, with another folder"
            )
        found = list(out.iterdir()) if out.is_dir() else []
        strange = [path.name for path in found if path.name != RECIPE and not is_partial_of(path, out / RECIPE)]
        if strange and not (out / RECIPE).exists():
            raise ValueError(f"{out} holds no run to resume (no {RECIPE} or {LAST}, but {strange[0]})")
        log.info("%s holds no checkpoint yet: the run starts from the beginning", out)
        return None
    saved = read(last)
    if saved.step < 0:
        raise ValueError(f"{last} is no checkpoint of a run: it says that {saved.step} steps were made")
    for section in SECTIONS:
        asked = plain_section(getattr(recipe, section))
        for name, value in plain_section(getattr(saved.recipe, section)).items():
            if name not in free.get(section, ()) and asked[name] != value:
                raise ValueError(
                    f"cannot resume {out}: {section}.{name} was {value!r} and is {asked[name]!r} now; "
                    "give the run's own settings, or start another run with --init"
                )
    log.info("resuming %s at step %d", last, saved.step)
    return saved
