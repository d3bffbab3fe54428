"""The output folder of a run.

out/
    recipe.json     the resolved recipe
    last.ckpt       the newest checkpoint: where a run resumes
    best.ckpt       the checkpoint of the best validation: the highest top-1, mAP or AP
    metrics.csv     one row per logged step and per validation
    tensorboard/    the same numbers for TensorBoard
"""

from __future__ import annotations

import os
from pathlib import Path

from nonlocalnet.system.errors import OutputError


def prepare_output(out: Path, *, resume: bool) -> None:
    """Make the output folder, refusing one that holds anything unless a run is resumed in it.

    Raises:
        OutputError: If the folder cannot be made or written, or exists with content and `resume` is off.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        # A run that was refused before its first step leaves its settings only; the corrected one may take its place.
        occupied = next((path for path in out.iterdir() if path.name != "recipe.json"), None)
    except OSError as error:
        raise OutputError(f"cannot use output folder {out}: {error.strerror or error}") from error
    if occupied is not None and not resume:
        raise OutputError(
            f"output folder {out} exists and is not empty (it holds {occupied.name}); "
            "choose another folder; a training run in it goes on with --resume"
        )
    if not os.access(out, os.W_OK | os.X_OK):
        raise OutputError(f"cannot use output folder {out}: it is not writable")
