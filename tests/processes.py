"""A test's own module on several processes: `on_processes(module, 2, 3, 4)` calls its `main()` on each, joined by gloo.

Run as a script it is what forks them: python processes.py MODULE WORLD...
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing


def on_processes(module: str, *worlds: int, timeout: float = 240) -> None:
    """Fails with what a process said, if one fails."""
    tests = str(Path(__file__).parent)
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    }  # fmt: skip
    # Imported once and then forked: an import of PyTorch a process took most of the time.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", __file__, module, *map(str, worlds)]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout)
    assert finished.returncode == 0, finished.stderr[-4000:]


def refused(text: str, call: object, *arguments: object, **options: object) -> None:
    """That this process and every other one gets a ValueError of this text."""
    with pytest.raises(ValueError, match=text):
        call(*arguments, **options)  # pyright: ignore[reportCallIssue]


def _one(rank: int, world: int, module: str, folder: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)  # all draw the same whole, of which each takes its part
    meeting = f"file://{folder}/meeting"
    # A process that waits for one that failed ends by itself.
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world, timeout=timedelta(seconds=60))
    importlib.import_module(module).main()
    dist.barrier()
    # The group is not destroyed: PyTorch 2.7's destructor holds the GIL while it waits for gloo's thread, which may be
    # waiting for the GIL to free a tensor (pytorch pull 154976). A forked process ends without destructors.


if __name__ == "__main__":
    name = sys.argv[1]
    importlib.import_module(name)
    importlib.import_module("torch._dynamo")  # which the first call of an operator of ours imports
    for size in map(int, sys.argv[2:]):
        with tempfile.TemporaryDirectory() as meeting:
            torch.multiprocessing.start_processes(_one, (size, name, meeting), nprocs=size, start_method="fork")
