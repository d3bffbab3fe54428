"""Run as a script: train in a forked child, kill it with SIGKILL at random moments, resume, until one gets to the end.

    python kill_often.py toy|recipe OUT SEED KILLS

Forking after the imports makes a kill cheap. Prints one json line: the steps of the checkpoints at the kills.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import nonlocalnet.engine.event_file  # noqa: F401  before the fork: its imports take a second

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine.toy import toy_run
from nonlocalnet.runs.video import train as video
from runs.video.tiny import tiny_recipe


def last_step(out: Path) -> int:
    path = out / "last.ckpt"
    return torch.load(path, weights_only=True)["global_step"] if path.exists() else 0


def train_toy(out: Path) -> None:
    start = last_step(out)
    toy_run(out, start_step=start, resume_from=out / "last.ckpt" if start else None)


def train_recipe(out: Path) -> None:
    video.train_recipe(tiny_recipe(out.parent / "videos", workers=1), out=out, resume=True, progress=False)


def in_child(run: Callable[[Path], None], out: Path) -> int:
    child = os.fork()
    if child == 0:
        try:
            run(out)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child


def rows(out: Path) -> int:
    path = out / "metrics.csv"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def main(kind: str, out: Path, seed: int, kills: int) -> None:
    torch.set_num_threads(1)
    draw = random.Random(seed)
    run = {"toy": train_toy, "recipe": train_recipe}[kind]
    reached: list[int] = []
    while True:
        child = in_child(run, out)
        # After a few more rows of the logs, then a moment: within a step, a checkpoint, a validation.
        wanted = max(rows(out), 1) + draw.randint(0, 5) if len(reached) < kills else math.inf
        while rows(out) < wanted:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                print(json.dumps(reached))
                sys.exit(0 if status == 0 else 1)
            time.sleep(0.0005)
        time.sleep(draw.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        reached.append(last_step(out))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
