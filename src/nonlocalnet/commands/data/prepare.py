"""`nonlocalnet data prepare FOLDER OUT`: a smaller copy of a folder of videos that reads faster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nonlocalnet.commands.options.parsing import make_parser, parse
from nonlocalnet.data.video.prepare_videos import EncodeSettings, find_videos, prepare_videos
from nonlocalnet.system.progress import counted
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.typed import TYPED


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet data prepare ...`: 0 if every video has its copy, else 1."""
    parser = make_parser(
        "data prepare",
        "Write a copy of a folder of videos with a shorter short side and frequent keyframes, without sound. Run it "
        "again after an interruption: finished copies are kept.",
    )
    parser.add_argument(
        "folder", help="folder of videos, at any depth; lists (.csv, .tsv, .txt) in it are copied along"
    )
    parser.add_argument("out", help="folder for the copies, of the same names with .mp4")
    parser.add_class_arguments(EncodeSettings, None)
    parser.add_argument("--workers", type=int, help="processes; without it as many as there are cores")
    arguments = parse(parser, argv).as_dict()
    del arguments[TYPED]
    source, out = Path(arguments.pop("folder")), Path(arguments.pop("out"))
    workers = arguments.pop("workers")
    settings = EncodeSettings(**arguments)
    with counted("preparing videos", len(find_videos(source, out))) as advance:
        report = prepare_videos(source, out, settings=settings, workers=workers, on_video=advance)
    console = make_console()
    for reason in report.broken:
        console.print(f"broken, left out: {reason}", soft_wrap=True)
    console.print(
        f"{report.written} videos written to {out}, {report.kept} kept from before, {len(report.broken)} broken",
        soft_wrap=True,
    )
    return int(bool(report.broken))
