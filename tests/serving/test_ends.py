"""The server's end, asked for or not, and what it leaves."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from nonlocalnet.serving.uploads import Uploads
from nonlocalnet.serving.worker import Worker
from nonlocalnet.system.stops import Stopped
from serving.fake_work import FakeWork, open_work
from serving.serving_here import Here, WorkHere, served, until

SCRIPT = Path(__file__).with_name("fake_work.py")


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Here]]:
    """A server whose temporary files go into a folder, with a file in work and one that is still being sent."""
    command = [sys.executable, str(SCRIPT), *arguments]
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        here = Here(int(process.stdout.readline()))
        with here.begin(b"sleep 60"), here.begin(b"sleep", length=5000):
            until(lambda: here.health()["working"])
            try:
                yield process, here
            finally:
                process.kill()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "nonlocalnet-serve-" in str(path)]


def wait_for_children(children: list[psutil.Process]) -> None:
    until(lambda: not any(c.is_running() and c.status() != psutil.STATUS_ZOMBIE for c in children))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_at_once_with_one_line(tmp_path: Path, signum: signal.Signals) -> None:
    with running(tmp_path) as (process, _):
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        begun = time.monotonic()
        process.send_signal(signum)
        code = process.wait(30)
        assert time.monotonic() - begun < 6
        assert process.stderr is not None
        name = "Ctrl-C" if signum == signal.SIGINT else "SIGTERM"
        assert (code, process.stderr.read()) == (128 + signum, f"nonlocalnet: stopped by {name}\n")
        wait_for_children(children)
    assert files_in(tmp_path) == []


def test_who_waits_is_told_of_the_end_as_of_any_error() -> None:
    senders = ThreadPoolExecutor(3)
    with served(WorkHere(FakeWork("video"))) as here:
        uploading = here.begin(b"sleep", length=5000)
        in_work = senders.submit(here.send, b"sleep 2")
        until(lambda: here.health()["working"])
        waiting = senders.submit(here.send, b"good")
        in_lines = senders.submit(here.send, b"good", Accept="application/x-ndjson")
        until(lambda: here.health()["waiting"] == 2)
    told = {"error": "the server was stopped: send the file again when it is back"}
    for reply in (in_work.result(), waiting.result()):
        assert (reply.code, reply.told) == (503, told)
    assert json.loads(in_lines.result().content.splitlines()[-1]) == told
    with uploading:
        unfinished = http.client.HTTPResponse(uploading)
        unfinished.begin()
        assert (unfinished.status, json.loads(unfinished.read())) == (503, told)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="files have names here")
def test_a_kill_leaves_no_file(tmp_path: Path) -> None:
    with running(tmp_path) as (process, _):
        assert files_in(tmp_path) == []
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        wait_for_children(children)
    assert files_in(tmp_path) == []


def test_where_files_have_names_the_next_start_removes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with running(tmp_path, "named") as (process, _):
        assert len(files_in(tmp_path)) == 2
        with Uploads(named=True) as others:  # those of a server that runs are not touched
            assert len(files_in(tmp_path)) == 2
            upload = others.make()
            upload.write(b"a")
            assert upload.path.read_bytes() == b"a"
            upload.close()
            assert len(files_in(tmp_path)) == 2
        process.kill()
        process.wait()
    assert len(files_in(tmp_path)) == 2
    with Uploads(named=True):
        assert files_in(tmp_path) == []
    assert list(tmp_path.glob("nonlocalnet-serve-*")) == []


def test_a_link_that_somebody_put_there_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = tmp_path / "mine" / "thesis.tex"
    kept.parent.mkdir()
    kept.touch()
    (tmp_path / "nonlocalnet-serve-x").symlink_to(kept.parent)
    with Uploads():
        assert kept.exists()


def test_a_signal_while_the_process_starts_ends_it_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_: object) -> None:
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", stopped)
    worker = Worker(open_work, "video")
    with pytest.raises(Stopped):
        worker.start()
    worker.end()
    assert not worker.runs
