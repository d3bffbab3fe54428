"""The output folder of a run, and writing that leaves either the old file or the whole new one.

out/
    recipe.json     the resolved recipe
    last.ckpt       the newest checkpoint: where a run resumes
    best.ckpt       the checkpoint with the highest validation top-1
    metrics.csv     one row per logged step and per validation
    tensorboard/    the same numbers for TensorBoard
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from nonlocalnet.system.errors import OutputError


def write_atomically(path: Path, content: bytes | memoryview | str) -> None:
    """Write a file so that a reader, whenever the process dies, finds the old content or the whole new content.

    Args:
        path: File to write; its folder must exist.
        content: The whole content; text is encoded as UTF-8.

    Raises:
        OutputError: Names the path and the system's reason (full disk, read-only folder, ...).
    """
    if isinstance(content, str):
        content = content.encode()
    # A fixed name: what a killed process left behind is overwritten by the next write, not collected.
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OutputError(f"cannot write {path}: {error.strerror or error}; what stood there is untouched") from error


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


def _sync_folder(folder: Path) -> None:
    # The rename itself must reach the disk; some file systems cannot open folders, and then there is nothing to do.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
