"""Run as a script: write features in a forked child that kills itself (SIGKILL) as it brings something to the disk.

    python kill_each.py EVERY OUT ARGUMENT...

One child for the first such moment and every so many after it, each with a folder of its own below OUT; another one
then goes on from where it was. The last folder is of one that was never killed. ARGUMENTs are those of `nonlocalnet
features`. What PyTorch imports at its first sums takes seconds, so the parent has run once before it forks.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from nonlocalnet.commands.main import main


def run_in_child(arguments: list[str], *, killed_at: int) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    moments = 0

    def counted(done, before: bool):
        def step(*given):
            nonlocal moments
            moments += 1
            if moments == killed_at and before:
                os.kill(os.getpid(), signal.SIGKILL)
            result = done(*given)
            if moments == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return step

    # Before bytes of a file are on the disk, and after it has its name.
    os.fsync = counted(os.fsync, before=True)
    os.replace = counted(os.replace, before=False)
    os._exit(main(["features", *arguments]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    every, out, *given = sys.argv[1:]
    if main(["features", *given, "-o", str(Path(out) / "000")]):
        sys.exit(1)
    for number in range(1, 1000, int(every)):
        target = str(Path(out) / f"{number:03}")
        code = run_in_child([*given, "-o", target], killed_at=number)
        if code != -signal.SIGKILL:
            sys.exit(code)
        code = run_in_child([*given, "-o", target], killed_at=0)
        if code:
            sys.exit(code)
