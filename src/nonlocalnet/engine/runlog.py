"""The numbers of a run: metrics.csv and TensorBoard, continued by a resumed run without double rows."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import lightning.pytorch as pl
from typing_extensions import override

from nonlocalnet.engine.checkpoint import VALIDATION_DUE
from nonlocalnet.engine.steps import StepRecord, StepTask
from nonlocalnet.system.errors import OutputError, reason_of
from nonlocalnet.system.files import write_atomically

if TYPE_CHECKING:
    from nonlocalnet.engine.event_file import EventFile

log = logging.getLogger(__name__)

_Record = TypeVar("_Record", bound=StepRecord)


def columns(record: type[StepRecord]) -> tuple[str, ...]:
    """Columns of a metrics.csv, in order: the fields of its record."""
    return tuple(field.name for field in fields(record))  # pyright: ignore[reportArgumentType]  records are dataclasses


def read_records(path: Path, record: type[_Record]) -> list[_Record]:
    """Rows of a metrics.csv, in order; a last row that was cut off while being written is left out.

    Raises:
        ValueError: It holds something else; names the file and what is missing or wrong.
    """
    numbers = columns(record)[2:]
    make = cast(Callable[..., _Record], record)
    try:
        text = path.read_text("utf-8")
        rows = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
        missing = next((name for name in columns(record) if name not in (rows.fieldnames or ())), None)
        if missing is not None:  # here, since below it is seen only where a row follows
            raise KeyError(missing)
        return [make(int(row["step"]), row["split"], *(float(row[name] or "nan") for name in numbers)) for row in rows]
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        reason = f"there is no column {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{path} is not the record that a run writes ({reason}); mend it, or move it away to go on without it"
        ) from None


class RunLog(pl.Callback):
    """Writes a row every few steps and after each validation.

    Args:
        out: Folder of the run.
        every: Steps between two rows of the training; each row is one step, not an average.
        start_step: Step of the checkpoint that is resumed: rows after it are dropped, since they will be written again.
        record: What a row is.
    """

    def __init__(self, out: Path, *, every: int, start_step: int, record: type[StepRecord]) -> None:
        self.path = out / "metrics.csv"
        self.every = every
        self.start_step = start_step
        self.record = record
        self._folder = out / "tensorboard"
        self._tensorboard: EventFile | None = None
        self._validation_due = False

    @override
    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note whether the row of the checkpoint's validation will be written again."""
        self._validation_due = checkpoint.get(VALIDATION_DUE, False)

    @override
    def on_sanity_check_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the files, where a resumed run begins with a validation."""
        self._open(trainer)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the files."""
        self._open(trainer)

    def _open(self, trainer: pl.Trainer) -> None:
        """On the first process only, and once."""
        if not trainer.is_global_zero or self._tensorboard is not None:
            return
        # A run that begins keeps no row of one that came to nothing here, perhaps of another kind.
        written = read_records(self.path, self.record) if self.start_step and self.path.exists() else []
        kept = [row for row in written if self._keeps(row)]
        self._warn_of_a_gap(kept)
        write_atomically(self.path, "".join(_line(row) for row in [columns(self.record), *map(_cells, kept)]))
        # Here, not above: only a training that has begun needs it.
        from nonlocalnet.engine.event_file import EventFile

        self._tensorboard = EventFile(self._folder, purge_step=self.start_step + 1)

    def _warn_of_a_gap(self, kept: list[StepRecord]) -> None:
        """Say that rows before the checkpoint are gone: the curves would begin or go on where nobody expects it."""
        steps = [0, *(row.step for row in kept if row.split == "train")]
        last = steps[-1]
        usual = max([self.every, *(after - before for before, after in pairwise(steps))])  # it may have been larger
        if self.start_step - last >= usual:
            rows = f"after step {last}" if last else "of the training"
            log.warning(
                "%s holds no row %s, and the run goes on from step %d: any that were logged between are lost",
                self.path,
                rows,
                self.start_step,
            )

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the row of a step that ended here, if it is due."""
        assert isinstance(pl_module, StepTask)
        step_ends = (batch_idx + 1) % pl_module.optim.accumulate == 0
        if step_ends and pl_module.steps_done % self.every == 0:
            self._write(pl_module.train_record)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the row of a validation."""
        assert isinstance(pl_module, StepTask)
        self._write(pl_module.val_record)

    def _keeps(self, row: StepRecord) -> bool:
        if row.step == self.start_step:
            return row.split == "train" or not self._validation_due
        return row.step < self.start_step

    def _write(self, record: StepRecord | None) -> None:
        if self._tensorboard is None or record is None:
            return
        try:
            with self.path.open("a") as file:
                file.write(_line(_cells(record)))
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {reason_of(error)}") from error
        values = {name: getattr(record, name) for name in columns(self.record)[2:] if name != "lr"}
        numbers = {f"{name}/{record.split}": value for name, value in values.items() if not math.isnan(value)}
        self._tensorboard.add(record.step, numbers | ({"lr": record.lr} if record.split == "train" else {}))


def _cells(record: StepRecord) -> tuple[Any, ...]:
    return tuple(getattr(record, name) for name in columns(type(record)))


def _line(row: tuple[Any, ...]) -> str:
    buffer = io.StringIO()
    # A number that does not exist, such as the mAP of a step, is an empty cell.
    cells = ["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in row]
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()
