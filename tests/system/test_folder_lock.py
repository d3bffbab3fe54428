"""One process writes into a folder at a time."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from nonlocalnet.data.video.prepare_videos import EncodeSettings, prepare_videos
from nonlocalnet.engine.config import Recipe
from nonlocalnet.engine.resume import run_to_resume
from nonlocalnet.engine.run_folder import prepare_output, require_free
from nonlocalnet.system.errors import OutputError
from nonlocalnet.system.folder_lock import hold_folder, release_folder
from nonlocalnet.system.folders import whole_folder

HOLDER = """
import os, sys, time
from pathlib import Path
from nonlocalnet.system.folder_lock import hold_folder
hold_folder(Path(sys.argv[1]))
if os.fork() == 0:  # a worker that outlives the holder; it has let go of the lock by now
    print("held", flush=True)
    time.sleep(20)
else:
    time.sleep(60)
"""


def prepare(out: Path) -> None:
    videos = out.parent / "videos"
    videos.mkdir(exist_ok=True)
    (videos / "a.mp4").write_bytes(b"")
    prepare_videos(videos, out, settings=EncodeSettings(), workers=1)


def resume(out: Path) -> None:
    run_to_resume(Recipe("any"), out, read=None, free={})  # pyright: ignore[reportArgumentType]  it is not read


@pytest.mark.parametrize("second", [lambda out: prepare_output(out, resume=False), partial(require_free, resume=False)])
def test_the_second_comer_hears_of_the_first_though_files_stand_there(
    tmp_path: Path, second: Callable[[Path], None]
) -> None:
    (tmp_path / "metrics.csv").touch()
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(OutputError, match=f"another process is writing into {tmp_path}; wait for its end"):
            second(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with pytest.raises(OutputError, match="exists and is not empty"):
            second(tmp_path)
    release_folder(tmp_path)


@pytest.mark.parametrize("second", [lambda out: prepare_output(out, resume=False), prepare, resume])
def test_the_second_comer_is_refused_until_the_first_is_killed(tmp_path: Path, second: Callable[[Path], None]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(OutputError, match=f"another process is writing into {out}; wait for its end"):
            second(out)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        second(out)
        release_folder(out)


def test_a_process_holds_again(tmp_path: Path) -> None:
    hold_folder(tmp_path)
    hold_folder(tmp_path)
    release_folder(tmp_path)
    release_folder(tmp_path)


def test_of_two_that_fill_a_folder_the_second_is_told_before_it_works(tmp_path: Path) -> None:
    target = tmp_path / "new"
    with whole_folder(target) as first:
        (first / "a").touch()
        with pytest.raises(OutputError, match=r"another process is writing into .*new; wait"), whole_folder(target):
            raise AssertionError
    assert [path.name for path in target.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_what_another_has_put_there_meanwhile_stays(tmp_path: Path) -> None:
    target = tmp_path / "new"

    def both() -> None:
        with whole_folder(target) as staging:
            (staging / "b").touch()
            target.mkdir()
            (target / "a").touch()

    with pytest.raises(ValueError, match="was written by another process meanwhile"):
        both()
    assert [path.name for path in target.iterdir()] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
