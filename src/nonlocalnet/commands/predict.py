"""`nonlocalnet predict VIDEO... --weights FILE`: the most probable classes of videos."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from nonlocalnet.commands.options.parsing import add_device, make_parser, parse
from nonlocalnet.commands.options.rows import rows_as_csv, writable
from nonlocalnet.data.clips.windows import parse_clip
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.formats import card_of, load, plan_file
from nonlocalnet.runs.video.classes import with_class_names
from nonlocalnet.runs.video.given import GivenVideo, find_given
from nonlocalnet.runs.video.options import add_asked, add_classes, add_inference, asked_of, inference_of, parse_views
from nonlocalnet.runs.video.predict import Prediction, chosen_clip, predict_each
from nonlocalnet.system.files import write_atomically
from nonlocalnet.system.progress import Counter, counted
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.visible import visible

_CSV_COLUMNS = ("path", "label", "rank", "class", "name", "probability", "error")


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet predict VIDEO... --weights FILE`; 1 if a video could not be read."""
    parser = make_parser("predict", "Name the most probable classes of videos.")
    parser.add_argument("videos", nargs="+", help="video files, folders of them, quoted patterns, or lists of videos")
    parser.add_argument("--weights", required=True, help="best.ckpt of a training run, or any published weights")
    parser.add_argument("--views", default="10x3", help="clips x crops: crops are 1 (centre), 3, or full, such as 10x3")
    parser.add_argument("--top", type=int, default=5, help="classes named per video")
    parser.add_argument("--root", help="folder that relative paths in a list start from; default: the list's own")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
    parser.add_argument("--csv", metavar="FILE", help="write a row a class named, when all videos are done")
    add_asked(parser)
    add_classes(parser)
    add_device(parser)
    add_inference(parser)
    parsed = parse(parser, argv)
    num_clips, crops = parse_views(parsed.views)
    if parsed.clip is not None:
        parse_clip(parsed.clip)
    if parsed.top < 1:
        raise ValueError(f"--top must be at least 1, got {parsed.top}")
    csv_path = None if parsed.csv is None else writable("--csv", parsed.csv)
    plan = with_class_names(plan_file(parsed.weights, asked_of(parsed)), parsed.classes)
    model = load(plan, strict=True)[0]
    card = card_of(model)
    given = find_given(parsed.videos, class_names=card.class_names, multi_label=card.multi_label, root=parsed.root)
    predictions = predict_each(
        model,
        [video.entry for video in given],
        clip=chosen_clip(model, parsed.clip),
        num_clips=num_clips,
        crops=crops,
        top=parsed.top,
        device=choose_device(parsed.device),
        inference=inference_of(parsed),
    )
    with counted("predicting", len(given)) as advance:
        made = list(_shown(zip(given, predictions, strict=True), advance, as_json=parsed.json))
    if csv_path is not None:
        write_atomically(csv_path, rows_as_csv(_CSV_COLUMNS, (row for one in made for row in _csv_rows(*one))))
    return int(any(prediction.error for _, prediction in made))


def _shown(
    made: Iterator[tuple[GivenVideo, Prediction]], advance: Counter, *, as_json: bool
) -> Iterator[tuple[GivenVideo, Prediction]]:
    """Print each prediction when it is made; JSON as one list, which is closed after the last."""
    console = make_console()
    for count, (video, prediction) in enumerate(made):
        with advance.aside():
            if as_json:
                label = {"label": video.label} if video.label else {}
                text = json.dumps({**dataclasses.asdict(prediction), **label}, indent=2)
                print(",\n" if count else "[\n", text, sep="", end="", flush=True)
            elif not prediction.error:
                console.print(_table(video, prediction))
            if prediction.error:
                print(visible(f"nonlocalnet: error: {prediction.error}"), file=sys.stderr)
        advance()
        yield video, prediction
    if as_json:
        print("\n]")


def _table(video: GivenVideo, prediction: Prediction) -> Table:
    title = prediction.path + (f" (listed as {video.label})" if video.label else "")
    table = Table(title=title, title_justify="left")
    table.add_column("class")
    table.add_column("probability", justify="right")
    for name, score in zip(prediction.names, prediction.scores, strict=True):
        table.add_row(name, f"{score:.4f}")
    return table


def _csv_rows(video: GivenVideo, prediction: Prediction) -> Iterator[tuple[Any, ...]]:
    if prediction.error:
        yield prediction.path, video.label, "", "", "", "", prediction.error
    ranked = zip(prediction.classes, prediction.names, prediction.scores, strict=True)
    for rank, (index, name, score) in enumerate(ranked, start=1):
        yield prediction.path, video.label, rank, index, name, f"{score:.8g}", ""
