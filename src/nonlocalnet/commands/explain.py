"""`nonlocalnet explain FILE --weights FILE -o page.html`: where the non-local blocks look, as a page and as figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentParser  # pyright: ignore[reportPrivateImportUsage]
from rich.table import Table

from nonlocalnet.commands.options.parsing import add_device, bytes_of, make_parser, parse
from nonlocalnet.commands.options.written import files_of, writable
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.explanation import Explanation, draw_look
from nonlocalnet.formats import open_file
from nonlocalnet.runs.kinds import kind_of_file
from nonlocalnet.runs.video.options import add_asked, add_classes
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.typed import typed_as

_FIGURES = (".svg", ".png", ".pdf")


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet explain FILE --weights FILE [-o PAGE] [--figure FILE]`."""
    parsed = parse(_make_parser(), argv)
    most_bytes = None if parsed.most_mb is None else bytes_of(parsed.most_mb)
    inputs = (parsed.file, *files_of(parsed.weights), parsed.classes)
    page = Path(parsed.out or f"{Path(parsed.file).stem}.html")
    page = writable("--out", page, suffixes=(".html", ".htm"), inputs=inputs)
    if parsed.figure is not None:
        writable("--figure", parsed.figure, suffixes=_FIGURES, inputs=inputs)
    if parsed.figure is None and typed_as(parsed, "at"):
        raise ValueError(
            "--at says what --figure asks; give --figure FILE too (in the page every position can be asked)"
        )
    if not Path(parsed.file).exists():
        raise FileNotFoundError(f"{parsed.file}: there is no such file")
    opened = open_file(parsed.weights)
    kind = kind_of_file(opened)
    at = (0.5, 0.5, 0.5) if parsed.at is None else _fractions(parsed.at, sequence=kind.name == "sequence")
    explained: Explanation = kind.explain.explain_weights(opened, parsed, device=choose_device(parsed.device))
    explained.save(page, most_bytes=most_bytes)
    _show(explained, page)
    if parsed.figure is not None:
        seen = explained.look(at=at)
        draw_look(seen, explained.pictures, parsed.figure, title=f"{explained.title}, {seen.block} at {seen.position}")
        make_console().print(parsed.figure)
    return 0


def _make_parser() -> ArgumentParser:
    parser = make_parser("explain", "Show where the non-local blocks of a network look, as one self-contained page.")
    parser.add_argument("file", help="a video, or a picture for a detector")
    parser.add_argument("--weights", required=True, help="best.ckpt of a training run, or any published weights")
    parser.add_argument("-o", "--out", help="the page to write, such as page.html; default: FILE's name with .html")
    parser.add_argument("--figure", help="also draw one position as in the paper's Figure 3: .svg, .png or .pdf")
    parser.add_argument(
        "--blocks",
        nargs="+",
        action="extend",
        help="dotted paths of the blocks; default: all. --figure takes the last",
    )
    parser.add_argument(
        "--at",
        help="what --figure asks: fractions t,y,x of the clip, or t of a sequence, from 0 to 1; default: 0.5 each",
    )
    parser.add_argument(
        "--start", type=float, help="seconds at which the clip begins; default: the middle of the video"
    )
    parser.add_argument("--full", action="store_true", help="the whole frame; default: the centre square, as in tests")
    parser.add_argument("--short-side", type=int, help="pixels of the frames' short side; default: as in tests")
    parser.add_argument(
        "--most-mb", type=float, help="size of the page at most; default: 15, and 40 from 128 frames on"
    )
    add_asked(parser)
    add_classes(parser)
    add_device(parser)
    return parser


def _fractions(text: str, *, sequence: bool) -> tuple[float, float, float]:
    """As `Explanation.look` takes them: a sequence lies along x."""
    try:
        parts = [float(part) for part in text.split(",")]
    except ValueError:
        parts = []
    if len(parts) != (1 if sequence else 3) or not all(0 <= part <= 1 for part in parts):
        wanted = "a fraction t of the sequence" if sequence else "three fractions t,y,x"
        such = "0.5" if sequence else "0.5,0.5,0.5"
        raise ValueError(f"--at must be {wanted} from 0 to 1, such as {such}, got {text!r}")
    t, y, x = (0.5, 0.5, *parts) if sequence else parts
    return t, y, x


def _show(explained: Explanation, page: Path) -> None:
    console = make_console()
    for name, probability in explained.predictions:
        console.print(f"{probability:7.1%}  {name}")
    table = Table(title="where the blocks look", title_justify="left")
    for heading in ("block", "positions", "keys"):
        table.add_column(heading)
    for heading in (
        "maps differ",
        f"top {len(explained.blocks[0].survey.weights[0])} hold",
        "distance",
        "leaves frame",
    ):
        table.add_column(heading, justify="right")
    for block in explained.blocks:
        survey = block.survey
        table.add_row(
            block.name,
            "x".join(map(str, block.grid[3 - explained.axes :])),
            "x".join(map(str, block.key_grid[3 - explained.axes :])),
            f"{survey.variation:.1%}",
            f"{survey.top_share:.1%}",
            "" if survey.space is None else f"{survey.mean_space:.0f} {'steps' if explained.axes == 1 else 'px'}",
            f"{survey.leaves_frame:.1%}" if block.grid[0] > 1 else "",
        )
    console.print(table)
    console.print(f"{page} ({page.stat().st_size / 1e6:.1f} MB)")
