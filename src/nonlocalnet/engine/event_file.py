"""The file of a run that TensorBoard reads, written by the thread that calls.

PyTorch's and TensorBoard's own writers do so in a thread of theirs, which on a full disk prints a traceback and tells
the run of it at a later row, or never. What is kept of theirs is the form of the file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.summary.writer.record_writer import RecordWriter

from nonlocalnet.system.errors import OutputError, reason_of


class EventFile:
    """A new file of events.

    Args:
        folder: Where TensorBoard looks; made if need be.
        purge_step: Rows of older files from this step on no longer count.

    Raises:
        OutputError: The file cannot be written.
    """

    def __init__(self, folder: Path, *, purge_step: int) -> None:
        self.path = folder / f"events.out.tfevents.{time.time_ns()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._failed(error) from error
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Write the numbers of a step by their names.

        Raises:
            OutputError: The file cannot be written.
        """
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        self._write(Event(step=step, summary=summary))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        try:
            # Opened for every row, as metrics.csv: a run that is killed leaves nothing open or in a buffer.
            with self.path.open("ab") as file:
                RecordWriter(file).write(event.SerializeToString())
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path}: {reason_of(error)}")
