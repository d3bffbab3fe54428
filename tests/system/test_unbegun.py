"""A worker whose parent goes before it has begun says nothing; whatever else keeps it from beginning is said."""

from __future__ import annotations

import subprocess
import sys

import pytest

START = """
import os, sys
from multiprocessing.synchronize import SemLock
from nonlocalnet.system.processes import fresh_context

class Unreadable:
    def __reduce__(self):
        return int, ("no number",)

context = fresh_context("nonlocalnet.system.processes")
lock = context.Lock()
"""
# As when the parent ends: its locks lose their names, which a worker opens them by.
GONE = "SemLock._cleanup(lock._semlock.name); worker = context.Process(target=print, args=(lock,))"
BUG = "worker = context.Process(target=print, args=(Unreadable(),))"
END = "\nworker.start(); worker.join(); sys.stderr.write(f'ended {worker.exitcode}'); sys.stderr.flush(); os._exit(0)\n"


def said(code: str) -> str:
    program = [sys.executable, "-c", START + code + END]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=True).stderr


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked from a server on Linux only")
def test_a_worker_whose_parent_went_does_not_begin_without_a_word() -> None:
    assert said(GONE) == "ended 1"


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked from a server on Linux only")
def test_an_error_of_the_work_is_said() -> None:
    assert "ValueError: invalid literal for int()" in said(BUG)


@pytest.mark.parametrize(
    ("failing", "last"),
    [
        ("pickle.loads(pickle.dumps('a' * 100)[:-20])", ""),  # killed while it handed over
        ("pickle.loads(b'')", ""),
        ("pickle.loads(b'?')", "UnpicklingError: invalid load key"),
        ("open('no_such_file')", "No such file or directory: 'no_such_file'"),
    ],
)
def test_only_a_parent_that_went_is_not_said(failing: str, last: str) -> None:
    program = [sys.executable, "-c", f"import pickle, nonlocalnet.system.unbegun; {failing}"]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert last in ended.stderr if last else ended.stderr == ""
