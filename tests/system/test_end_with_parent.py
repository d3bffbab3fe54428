"""A worker ends when its parent is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest


def runs(pid: int) -> bool:
    # Where nobody collects orphans, a dead one stays as a zombie.
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("kind", ["process", "loader", "pool"])
@pytest.mark.parametrize("watched", [True, False])
def test_a_worker_ends_with_its_killed_parent(watched: bool, kind: str) -> None:
    script = Path(__file__).with_name("parent_of_worker.py")
    command = [sys.executable, str(script), kind, "watched" if watched else "unwatched"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert runs(worker)
        parent.kill()
        parent.stdout.close()
    deadline = time.monotonic() + (20 if watched else 1)
    while runs(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = runs(worker)
    if left:
        psutil.Process(worker).kill()
    # Without watching it outlives its parent, so that this test can fail.
    assert left is not watched
