"""`nonlocalnet data check LIST --root DIR`: which videos of a list are there, which are broken, what others had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nonlocalnet.commands.options.parsing import make_parser, parse
from nonlocalnet.commands.options.written import keep_inputs, writable
from nonlocalnet.data.annotations import FORMAT_NAMES, load_video_list
from nonlocalnet.data.video.check_videos import (
    CheckReport,
    VideoCounts,
    check_videos,
    classes_lost,
    clean_list,
    require_text,
)
from nonlocalnet.system.files import write_atomically
from nonlocalnet.system.progress import counted
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.typed import refuse_typed

_HEADINGS = ("listed", "readable", "missing", "broken", "lost")
_CLASSES_SHOWN = 20
_SPLITS = ("train", "val", "test")
_REASONS_SHOWN = 10


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet data check ...`: 0 if every video can be read or a clean list was asked for, else 1."""
    parser = make_parser("data check", "Read every video's header and one frame, and count what is missing or broken.")
    parser.add_argument(
        "annotations",
        help="a list in any format that training takes, a folder of class folders, or that of train, val and test",
    )
    parser.add_argument("--root", help="folder that the videos are in; without it the list's own")
    parser.add_argument("--out", help="write the list without missing and broken videos to this file")
    parser.add_argument("--classes", help="file of class names, in place of the classes.txt beside the list")
    parser.add_argument("--multi-label", action="store_true", help="a text list or csv with several labels a video")
    parser.add_argument("--format", choices=FORMAT_NAMES, help="the list's format, if not recognised")
    parser.add_argument("--workers", type=int, help="processes; without it as many as there are cores")
    parser.add_argument("--all", action="store_true", help="show every class and every reason")
    arguments = parse(parser, argv)
    sources = _splits_in(Path(arguments.annotations)) or [arguments.annotations]
    if arguments.out is not None and len(sources) > 1:
        raise ValueError(f"--out takes one list, and {arguments.annotations} holds {len(sources)}: check {sources[0]}")
    out = None if arguments.out is None else writable("--out", arguments.out, inputs=[*sources, arguments.classes])
    if all(Path(source).is_dir() for source in sources):
        why = f"on {arguments.annotations}: class folders hold their videos, each of one class; it is for lists"
        refuse_typed(arguments, ["root", "multi_label"], why)
    classes, lacking = arguments.classes, False
    for source in sources:
        videos = load_video_list(
            source,
            root=arguments.root,
            classes=classes,
            multi_label=arguments.multi_label or None,
            format=arguments.format,
            check_files=False,
        )
        if out is not None:
            keep_inputs("--out", out, (entry.path for entry in videos.entries))
            require_text(out, videos)
        if Path(source).is_dir():
            classes = classes or videos.class_names  # those of train/ number the folders of val/ too
        with counted(f"checking {source}", len(videos.entries)) as advance:
            report = check_videos(videos, workers=arguments.workers, on_video=advance)
        _show(report, make_console(), everything=arguments.all)
        lacking = lacking or report.total.readable < report.total.listed
        if out is not None:
            write_atomically(out, clean_list(report))
            _say(make_console(), f"{report.total.readable} of {report.total.listed} videos in {out}")
            return 0
    return int(lacking)


def _splits_in(folder: Path) -> list[Path]:
    """The lists of a folder as `--data.root` takes it: train, val and test, each a list or a folder of classes."""
    found = []
    for split in _SPLITS:
        lists = [path for path in (folder / f"{split}.csv", folder / f"{split}.txt") if path.is_file()]
        holds_folders = (folder / split).is_dir() and any(path.is_dir() for path in (folder / split).iterdir())
        found += lists[:1] or ([folder / split] if holds_folders else [])
    return found


def _show(report: CheckReport, console: Console, *, everything: bool) -> None:
    table = Table("class", *_HEADINGS, title=f"{report.videos.source} ({report.videos.format})", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    lacking = {name: counts for name, counts in report.by_class.items() if counts.readable < counts.listed}
    shown = report.by_class if everything else dict(sorted(lacking.items(), key=_loss)[:_CLASSES_SHOWN])
    for name, counts in shown.items():
        table.add_row(name, *_cells(counts))
    table.add_section()
    classes = len(report.by_class)
    table.add_row("1 class" if classes == 1 else f"{classes} classes", *_cells(report.total))
    console.print(table)
    if len(shown) < len(lacking):
        _say(console, f"... {len(lacking) - len(shown)} more classes lack videos (--all shows them)")
    _show_copies(report, console)
    reasons = [finding.reason for finding in report.findings if finding.state == "broken"]
    for reason in reasons if everything else reasons[:_REASONS_SHOWN]:
        _say(console, f"broken: {reason}")
    if len(reasons) > _REASONS_SHOWN and not everything:
        _say(console, f"... {len(reasons) - _REASONS_SHOWN} more are broken (--all shows them)")
    lost = classes_lost(report)
    if lost:
        named = ", ".join(lost[:_REASONS_SHOWN]) + (", ..." if len(lost) > _REASONS_SHOWN else "")
        _say(
            console,
            f"No video is left of {len(lost)} classes: {named}. A clean list that numbers its own class names would "
            "number those after them anew: keep a classes.txt of all beside it.",
        )


def _cells(counts: VideoCounts) -> list[str]:
    lost = 100 * (1 - counts.readable / counts.listed) if counts.listed else 0.0
    return [*(f"{count:,}" for count in counts), f"{lost:.1f}%"]


def _loss(row: tuple[str, VideoCounts]) -> tuple[float, str]:
    return row[1].readable / row[1].listed, row[0]


def _show_copies(report: CheckReport, console: Console) -> None:
    if not report.copies:
        return
    table = Table("copy", "videos", "of the published list", title="Missing videos explain most gaps between results")
    for column in table.columns[1:]:
        column.justify = "right"
    published = report.copies[0].videos
    for copy in report.copies:
        table.add_row(f"{copy.dataset}: {copy.owner}", f"{copy.videos:,}", f"{100 * copy.videos / published:.1f}%")
    mine = report.total.readable
    table.add_row("yours, readable", f"{mine:,}", f"{100 * mine / published:.1f}%", style="bold")
    console.print(table)


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True)
