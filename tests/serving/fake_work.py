"""A network's place is taken by what a file says itself; run as a script it is the server of a process of its own.

python fake_work.py [named]
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nonlocalnet.serving.worker import Answer, Worker

PAGE = b"<!doctype html><title>page</title><p id='page'>a page</p>"


class FakeWork:
    about: dict[str, Any]

    def __init__(self, takes: str) -> None:
        self.about = {"network": "a <b>network</b>", "takes": takes}

    def __call__(self, path: Path, name: str, doing: Callable[[str], object]) -> Answer:
        doing("reading")
        word, _, rest = path.read_bytes()[:40].decode("latin-1").partition(" ")
        if word == "sleep":
            time.sleep(float(rest))
        elif word == "crash":
            os.abort()
        elif word == "fail":
            raise RuntimeError(f"out of memory on {path}")
        elif word != "good":
            raise ValueError(f"{path}: not a video")
        classes = [{"class": 1, "name": "<i>wave</i>", "probability": 0.75}]
        told = {"file": name, "classes": classes, "process": os.getpid(), "bytes": path.stat().st_size}
        return Answer(told, b"" if rest == "blind" else PAGE, b"")


def open_work(takes: str) -> FakeWork:
    if takes == "nothing":
        raise ValueError("weights.pt holds no network")
    return FakeWork(takes)


def main(named: bool) -> None:
    from nonlocalnet.serving import server
    from nonlocalnet.serving.app import Limits
    from nonlocalnet.system.stops import stoppable

    if named:
        server.Uploads = functools.partial(server.Uploads, named=True)  # pyright: ignore[reportAttributeAccessIssue]
    with stoppable():
        bound = server.bind("127.0.0.1", 0)

        def ready(about: dict[str, Any]) -> None:
            print(bound.getsockname()[1], flush=True)

        server.serve(bound, Worker(open_work, "video"), host="127.0.0.1", limits=Limits(10**6, 60, 4), ready=ready)


if __name__ == "__main__":
    main(sys.argv[1:] == ["named"])
