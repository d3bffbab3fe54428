"""The folder of a run.

out/
    recipe.json     the resolved recipe
    last.ckpt       the newest checkpoint: where a run resumes
    best.ckpt       the checkpoint of the best validation, by its record's `quality`: top-1, mAP or AP
    metrics.csv     one row per logged step and per validation
    tensorboard/    the same numbers for TensorBoard
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from nonlocalnet.engine.config import Recipe
from nonlocalnet.system.errors import OutputError, reason_of_output
from nonlocalnet.system.files import is_partial, write_atomically
from nonlocalnet.system.folder_lock import hold_folder, require_not_held
from nonlocalnet.system.processes import is_first_process

RECIPE, LAST, BEST, METRICS, TENSORBOARD = "recipe.json", "last.ckpt", "best.ckpt", "metrics.csv", "tensorboard"


def begin_run(out: Path, recipe: Recipe, *, resume: bool) -> None:
    """Make the folder of a run and write its recipe; by the first of several processes only.

    Raises:
        OutputError: As `prepare_output`, or if the recipe cannot be written.
    """
    if is_first_process():
        prepare_output(out, resume=resume)
        write_atomically(out / RECIPE, json.dumps(dataclasses.asdict(recipe), indent=2) + "\n")


def require_free(out: Path, *, resume: bool) -> None:
    """Refuse an output folder that holds anything, unless a run is resumed in it: at once, before anything is built.

    Raises:
        OutputError: As `prepare_output`.
    """
    if resume or not is_first_process():
        return
    try:
        found = list(out.iterdir()) if out.exists() else []
        stays = {RECIPE, METRICS, TENSORBOARD} if _came_to_nothing(found) else set[str]()
        occupied = next((path for path in found if path.name not in stays and not is_partial(path.name)), None)
    except OSError as error:
        raise OutputError(f"cannot use output folder {out}: {reason_of_output(error)}") from error
    if occupied is not None:
        require_not_held(out)
        goes_on = "; the training run in it goes on with --resume" if (out / LAST).exists() else ""
        raise OutputError(
            f"output folder {out} exists and is not empty (it holds {occupied.name}); choose another folder{goes_on}"
        )


def _came_to_nothing(found: Sequence[Path]) -> bool:
    """Whether a folder's files are of a run without a checkpoint, so that the next one may take its place.

    One that was refused before its first step leaves its settings, one that ended before its first checkpoint its logs;
    what was killed as it wrote, a partial file.
    """
    names = {path.name for path in found}
    return RECIPE in names and not names & {LAST, BEST}


def prepare_output(out: Path, *, resume: bool) -> None:
    """Make the output folder, refusing one that holds anything unless a run is resumed in it.

    Raises:
        OutputError: If the folder cannot be made or written, another process writes into it, or it exists with content
            and `resume` is off.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        hold_folder(out)
    except OSError as error:
        raise OutputError(f"cannot use output folder {out}: {reason_of_output(error)}") from error
    require_free(out, resume=resume)
    if not os.access(out, os.W_OK | os.X_OK):
        raise OutputError(f"cannot use output folder {out}: it is not writable")
