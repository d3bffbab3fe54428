"""`nonlocalnet predict VIDEO... --weights FILE`: the most probable classes of videos."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence

from rich.table import Table

from nonlocalnet.commands.options.parsing import add_device, make_parser, parse
from nonlocalnet.data.clips.windows import parse_clip
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.formats import card_of, load, plan_file
from nonlocalnet.runs.video.classes import with_class_names
from nonlocalnet.runs.video.options import add_asked, add_classes, add_inference, asked_of, inference_of, parse_views
from nonlocalnet.runs.video.predict import Prediction, predict
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.visible import visible


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet predict VIDEO... --weights FILE`; 1 if a video could not be read."""
    parser = make_parser("predict", "Name the most probable classes of videos.")
    parser.add_argument("videos", nargs="+", help="video files")
    parser.add_argument("--weights", required=True, help="best.ckpt of a training run, or any published weights")
    parser.add_argument("--views", default="10x3", help="clips x crops: crops are 1 (centre), 3, or full, such as 10x3")
    parser.add_argument("--top", type=int, default=5, help="classes named per video")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
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
    plan = with_class_names(plan_file(parsed.weights, asked_of(parsed)), parsed.classes)
    model = load(plan, strict=True)[0]
    card = card_of(model)
    predictions = predict(
        model,
        parsed.videos,
        preprocessing=card.preprocessing,
        class_names=card.class_names,
        clip=parsed.clip,
        num_clips=num_clips,
        crops=crops,
        multi_label=card.multi_label,
        device=choose_device(parsed.device),
        inference=inference_of(parsed),
        top=parsed.top,
    )
    if parsed.json:
        print(json.dumps([dataclasses.asdict(prediction) for prediction in predictions], indent=2))
    else:
        _show(predictions)
    for prediction in predictions:
        if prediction.error:
            print(visible(f"nonlocalnet: error: {prediction.error}"), file=sys.stderr)
    return int(any(prediction.error for prediction in predictions))


def _show(predictions: Sequence[Prediction]) -> None:
    console = make_console()
    for prediction in predictions:
        if prediction.error:
            continue
        table = Table(title=prediction.path, title_justify="left")
        table.add_column("class")
        table.add_column("probability", justify="right")
        for name, score in zip(prediction.names, prediction.scores, strict=True):
            table.add_row(name, f"{score:.4f}")
        console.print(table)
