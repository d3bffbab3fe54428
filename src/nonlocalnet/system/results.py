"""The files that a run comes to: all of them, or none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from nonlocalnet.system.files import encoded, output_named, whole_file
from nonlocalnet.system.stops import uninterrupted


def write_results(folder: Path, make: Callable[[], Mapping[str, bytes | str]]) -> None:
    """Make the contents of files that belong together, and write them.

    All are written before the first gets its name; they get theirs in the order given, so that where the last stands
    the others stand. A signal waits until then, and its line says that nothing is missing: what hours of work gave is
    not left half said.

    Args:
        folder: Existing folder.
        make: Gives what each file holds, by its name.

    Raises:
        OutputError: If a file cannot be written; then none of them is.
    """
    with uninterrupted(afterwards=f"; all results are in {folder}"), contextlib.ExitStack() as stack:
        # A stack ends with what was entered last.
        for name, content in reversed(list(make().items())):
            stack.enter_context(output_named(folder / name))
            with stack.enter_context(whole_file(folder / name)).open("wb") as file:
                file.write(encoded(content))
                file.flush()
                os.fsync(file.fileno())
