"""`nonlocalnet serve --weights FILE [--port N]`: a network as a page on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from nonlocalnet.commands.options.parsing import add_device, bytes_of, make_parser, parse
from nonlocalnet.runs.video.options import add_asked, add_classes
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.visible import visible

_NEEDS = ("starlette", "uvicorn")


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet serve --weights FILE`, until a signal ends it."""
    parser = make_parser(
        "serve", "Open a page on this machine: drop a video, see its classes and where the blocks look."
    )
    parser.add_argument("--weights", required=True, help="best.ckpt of a training run, or any published weights")
    parser.add_argument("--port", type=int, default=8000, help="0 for any that is free")
    parser.add_argument("--host", default="127.0.0.1", help="an address of this machine; others can then use the page")
    parser.add_argument("--most-mb", type=float, default=200, help="size of a file at most")
    parser.add_argument("--most-seconds", type=float, default=300, help="time of work on a file at most")
    parser.add_argument("--most-waiting", type=int, default=16, help="files that wait, beside the one in work, at most")
    parser.add_argument("--views", help="clips x crops of a video, as in `predict`; default: 10x3; fewer are faster")
    parser.add_argument("--min-score", type=float, help="lowest score of a detector's objects; default: 0.5")
    add_asked(parser)
    add_classes(parser)
    add_device(parser)
    parsed = parse(parser, argv)
    most_bytes = bytes_of(parsed.most_mb)
    if not parsed.most_seconds > 0:
        raise ValueError(f"--most-seconds must be above 0, got {parsed.most_seconds:g}")
    if parsed.most_waiting < 0:
        raise ValueError(f"--most-waiting must be at least 0, got {parsed.most_waiting}")
    missing = [package for package in _NEEDS if find_spec(package) is None]
    if missing:
        raise ValueError(f"serve needs {' and '.join(missing)}: pip install 'nonlocalnet[serve]'")
    _serve(parsed, most_bytes)
    return 0


def _serve(parsed: Any, most_bytes: int) -> None:
    from nonlocalnet.serving.app import Limits
    from nonlocalnet.serving.guard import is_loopback
    from nonlocalnet.serving.server import address_of, bind, serve
    from nonlocalnet.serving.work import open_work
    from nonlocalnet.serving.worker import Worker

    bound = bind(parsed.host, parsed.port)
    if not is_loopback(bound.getsockname()[0]):
        warning = f"nonlocalnet: with --host {parsed.host}, whoever reaches this machine can use the page"
        print(visible(warning), file=sys.stderr)

    loading = make_console(stderr=True).status("loading the network")

    def ready(about: dict[str, Any]) -> None:
        loading.stop()
        text = f"{about['network']} of {parsed.weights}: {address_of(bound, parsed.host)} (Ctrl-C ends it)"
        print(visible(text), flush=True)

    limits = Limits(most_bytes, parsed.most_seconds, parsed.most_waiting)
    with loading:
        serve(bound, Worker(open_work, parsed), host=parsed.host, limits=limits, ready=ready)
