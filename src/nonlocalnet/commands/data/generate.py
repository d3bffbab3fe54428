"""`nonlocalnet data generate DIR`: write encoded videos whose label needs a long-range relation."""

from __future__ import annotations

from collections.abc import Sequence

from nonlocalnet.commands.options.parsing import make_parser, parse
from nonlocalnet.data.generated.videos import write_long_range_videos
from nonlocalnet.system.progress import counted
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.typed import TYPED


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet data generate ...`."""
    parser = make_parser("data generate", "Write a data set of long-range videos as H.264 files with their lists.")
    parser.add_function_arguments(write_long_range_videos, as_positional=True, skip={"on_video"})
    arguments = parse(parser, argv).as_dict()
    del arguments[TYPED]
    directory = arguments.pop("directory")
    total = sum(arguments[f"num_{split}"] for split in ("train", "val", "test"))
    with counted("writing videos", total) as advance:
        path = write_long_range_videos(directory, **arguments, on_video=advance)
    make_console().print(f"{total} videos in {path}")
    return 0
