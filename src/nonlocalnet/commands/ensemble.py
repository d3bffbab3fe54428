"""`nonlocalnet ensemble A B --out DIR`: average the scores of several tests of the same videos."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from nonlocalnet.commands.options.parsing import make_parser, parse
from nonlocalnet.runs.video.report import HEADINGS, metric_cells
from nonlocalnet.runs.video.results.scores import load_scores
from nonlocalnet.runs.video.results.summary import summarise_scores
from nonlocalnet.runs.video.test import average_tests
from nonlocalnet.system.terminal import make_console


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet ensemble A B --out DIR`."""
    parser = make_parser(
        "ensemble",
        "Average the class scores of several tests of the same videos and report the metrics of each and of the "
        "average. One test alone has its metrics computed again, for instance with another pooling.",
        usage="nonlocalnet ensemble TEST... --out DIR [--pooling mean|max]",
    )
    parser.add_argument("tests", nargs="+", help="--out folders of `nonlocalnet test`, or their scores.safetensors")
    parser.add_argument("--out", required=True, help="folder for the results, new or empty")
    parser.add_argument(
        "--pooling", choices=("mean", "max"), default="mean", help="over the views of a video (paper: mean)"
    )
    parsed = parse(parser, argv)
    summary = average_tests(parsed.tests, out=parsed.out, pooling=parsed.pooling)
    console = make_console()
    table = Table(title=f"{summary.videos} videos, {parsed.pooling} over views", title_justify="left")
    table.add_column("scores", overflow="fold")
    for key in summary.metrics:
        table.add_column(HEADINGS[key], justify="right")
    for folder in parsed.tests:
        scored = load_scores(folder)
        own = summarise_scores(scored.results, num_classes=len(scored.class_names), pooling=parsed.pooling)
        table.add_row(folder, *metric_cells(own))
    if len(parsed.tests) > 1:
        table.add_section()
        table.add_row(f"average of {len(parsed.tests)}", *metric_cells(summary))
    console.print(table)
    console.print(f"written to {parsed.out}")
    return 0
