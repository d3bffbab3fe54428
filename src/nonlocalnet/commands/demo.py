"""`nonlocalnet demo`: a whole story in minutes, on any laptop."""

from __future__ import annotations

import logging
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from nonlocalnet.commands.options.parsing import make_parser, parse
from nonlocalnet.demos.stories import STORIES
from nonlocalnet.system.stops import stoppable
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.typed import refuse_typed


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet demo [--task TASK] [--out DIR]`."""
    story = STORIES[_task(argv)]
    parser = make_parser("demo", story.text)
    parser.add_argument("--task", choices=tuple(STORIES), default="videos", help="which demo; each has its --help")
    parser.add_argument("--out", default="demo", help="new or empty folder for the data, runs, results and pictures")
    parser.add_argument("--smallest", action="store_true", help="a run of seconds that shows that everything works")
    parser.add_class_arguments(story.size, as_group=False)
    arguments = parse(parser, argv)
    sizes = [field.name for field in fields(story.size)]
    if arguments.smallest:
        refuse_typed(arguments, sizes, "with --smallest, which has sizes of its own; give one of them")
    own = story.size(**{name: arguments[name] for name in sizes})
    logging.getLogger("nonlocalnet").setLevel(logging.WARNING)  # many networks are built; the table says what they are
    began = time.monotonic()
    with stoppable() as stops:
        stops.where = lambda: "; start again, in another folder"
        results = story.run(arguments.out, size=story.smallest if arguments.smallest else own)
        stops.where = lambda: f"; all results are in {arguments.out}"
    story.show(make_console(), results, Path(arguments.out), seconds=time.monotonic() - began)
    return 0


def _task(argv: Sequence[str]) -> str:
    early = ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--task", default="videos")
    task = early.parse_known_args(list(argv))[0].task
    if task not in STORIES:
        raise ValueError(f"--task must be one of {', '.join(STORIES)}, got {task!r}")
    return task
