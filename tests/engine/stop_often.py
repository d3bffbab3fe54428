"""Run as a script: trainings in forked children that signals stop; each is resumed, and the last gets to the end.

    python stop_often.py FOLDER       writes FOLDER/one, by one process, and FOLDER/two

Forking after the imports makes a stop cheap. Prints one json line: for both and for every stop its case, the exit codes
of the processes, the seconds they took to end, the step of the checkpoint, and what they wrote to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import nonlocalnet.engine.event_file  # noqa: F401  before the fork: its imports take a second

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine.kill_group import last_step, rows, start_group
from engine.kill_group import train as train_two
from engine.toy import toy_run
from nonlocalnet.system.errors import ProcessError
from nonlocalnet.system.stops import Stopped, stoppable

Case = tuple[str, Callable[[list[int]], None]]


def train_one(out: Path) -> None:
    """Few checkpoints and a worker."""
    start = last_step(out)
    resumed = {"start_step": start, "resume_from": out / "last.ckpt" if start else None}
    toy_run(out, **resumed, workers=1, checkpoint_every=100)


def as_command(train: Callable[[Path], None], out: Path) -> None:
    """End as the command line does."""
    try:
        with stoppable():
            train(out)
    except Stopped as stopped:
        os._exit(int(stopped.code or 0))
    except ProcessError as error:
        print(f"nonlocalnet: error: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def send(signum: int, *, to: int | None) -> Callable[[list[int]], None]:
    """To one of the processes; None for their group, workers and all."""

    def kill(processes: list[int]) -> None:
        for process in processes if to is None else [processes[to]]:
            (os.killpg if to is None else os.kill)(process, signum)

    return kill


ONE: list[Case] = [
    ("TERM", send(signal.SIGTERM, to=0)),
    ("TERM to all", send(signal.SIGTERM, to=None)),
    ("INT to all", send(signal.SIGINT, to=None)),
    ("HUP to all", send(signal.SIGHUP, to=None)),
]
TWO: list[Case] = [
    ("TERM to the second", send(signal.SIGTERM, to=1)),
    ("TERM to all", send(signal.SIGTERM, to=None)),
    ("KILL of the first", send(signal.SIGKILL, to=0)),
    ("KILL of the second", send(signal.SIGKILL, to=1)),
]


def start_one(out: Path) -> list[int]:
    child = os.fork()
    if child == 0:
        os.setsid()
        as_command(train_one, out)
        os._exit(0)
    return [child]


def stop(start: Callable[[Path], list[int]], out: Path, case: Case) -> dict[str, Any]:
    """Start, send the case's signal some steps on, and say how it ended."""
    said = out / "stderr.txt"
    keep = os.dup(2)
    with said.open("w") as file:
        os.dup2(file.fileno(), 2)
        processes = start(out)
        os.dup2(keep, 2)
    wanted = rows(out) + 5
    while rows(out) < wanted:
        time.sleep(0.002)
    case[1](processes)
    began = time.monotonic()
    codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
    ended = {"case": case[0], "codes": codes, "seconds": time.monotonic() - began, "step": last_step(out)}
    return {**ended, "stderr": said.read_text()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    one, two = Path(sys.argv[1]) / "one", Path(sys.argv[1]) / "two"
    for made in (one, two):
        made.mkdir()
    found = [stop(start_one, one, case) for case in ONE]
    for process in start_one(one):
        os.waitpid(process, 0)
    begin = lambda out: start_group(out, lambda at: as_command(train_two, at))  # noqa: E731
    print(json.dumps([found, [stop(begin, two, case) for case in TWO]]))
