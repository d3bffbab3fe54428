"""Run as a script: train on two processes with loader workers; again, killing the whole group in mid-epoch, resuming.

    python kill_group.py FOLDER KILLS       writes FOLDER/whole and FOLDER/killed

The processes are forked after the imports, with the environment a launcher would give them, so that a restart is cheap.
Prints one json line: the steps of the checkpoints at the kills.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

import nonlocalnet.engine.event_file  # noqa: F401  before the fork: its imports take a second

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine.toy import toy_train
from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig

PROCESSES = 2


def last_step(out: Path) -> int:
    path = out / "last.ckpt"
    return torch.load(path, weights_only=True)["global_step"] if path.exists() else 0


def train(out: Path) -> None:
    """Accumulation, dropout, trained BatchNorm and workers; a validation every 9 steps, a checkpoint every 2."""
    start = last_step(out)
    toy_train(
        out,
        optim=OptimConfig(batch_size=8, accumulate=2, lr=0.05),
        schedule=ScheduleConfig(steps=24, milestones=(12, 18), warmup_steps=5),
        trainer=TrainerConfig(device="cpu", devices=PROCESSES, val_every=9, checkpoint_every=2, log_every=1),
        workers=1,
        start_step=start,
        resume_from=out / "last.ckpt" if start else None,
    )


def start_group(out: Path, run: Callable[[Path], None] = train) -> list[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(PROCESSES):
        child = os.fork()
        if child == 0:
            os.setsid()
            os.environ.update(
                MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), LOCAL_RANK=str(rank), NODE_RANK="0", WORLD_SIZE="2"
            )
            try:
                run(out)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        children.append(child)
    return children


def kill(children: list[int]) -> None:
    """Without warning, the loaders' workers too."""
    for child in children:
        os.killpg(child, signal.SIGKILL)
    for child in children:
        os.waitpid(child, 0)


def rows(out: Path) -> int:
    path = out / "metrics.csv"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def run(out: Path, *, kills: int) -> list[int]:
    """Train to the end, killed so often on the way; the steps of the checkpoints at the kills."""
    out.mkdir()
    reached: list[int] = []
    while True:
        children = start_group(out)
        # 5 rows further each time, which lies between two checkpoints and two validations.
        wanted = rows(out) + 5
        while len(reached) < kills and rows(out) < wanted:
            time.sleep(0.002)
            done, status = os.waitpid(-1, os.WNOHANG)
            if done:
                sys.exit(f"a process ended with {status} before it was killed")
        if len(reached) == kills:
            failed = [child for child in children if os.waitpid(child, 0)[1]]
            if failed:
                sys.exit(f"{len(failed)} processes failed")
            return reached
        kill(children)
        reached.append(last_step(out))


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    folder = Path(sys.argv[1])
    run(folder / "whole", kills=0)
    print(json.dumps(run(folder / "killed", kills=int(sys.argv[2]))))
