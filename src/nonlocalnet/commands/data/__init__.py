"""`nonlocalnet data ACTION ...`: what is done to videos before training."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from nonlocalnet.system.terminal import make_console

# Action -> what it does. Each lives in the file of its name.
ACTIONS = {
    "generate": "write H.264 videos and their lists; the class depends on things far apart in space and time",
    "check": "read every video's header and one frame; count what is missing and broken; write a clean list",
    "prepare": "rescale a folder of videos to a short side, with frequent keyframes, so that they read faster",
}


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet data ACTION ...`."""
    if not argv or argv[0] in ("-h", "--help"):
        width = max(map(len, ACTIONS))
        rows = "\n".join(f"  {name:<{width}}  {text}" for name, text in ACTIONS.items())
        make_console().print(
            f"usage: nonlocalnet data ACTION ...\n\n{rows}\n\n`nonlocalnet data ACTION --help` shows what it takes.",
            soft_wrap=True,
        )
        return 0
    action, *rest = argv
    if action not in ACTIONS:
        raise ValueError(f"unknown action {action!r} of `nonlocalnet data`; there is: {', '.join(ACTIONS)}")
    return importlib.import_module(f"nonlocalnet.commands.data.{action}").main(rest)
