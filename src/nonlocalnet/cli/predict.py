"""`nonlocalnet predict VIDEO... --weights FILE`: the most probable classes of videos."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table

from nonlocalnet.cli.arguments import add_device, make_parser, parse
from nonlocalnet.data.sampling import parse_clip
from nonlocalnet.engine.predict import Prediction, predict
from nonlocalnet.engine.train import choose_device
from nonlocalnet.zoo import card_of, from_checkpoint

Crops = Literal["three", "centre", "full"]
_CROPS: dict[str, Crops] = {"1": "centre", "3": "three", "full": "full"}


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet predict VIDEO... --weights FILE`; 1 if a video could not be read."""
    parser = make_parser("predict", "Name the most probable classes of videos.")
    parser.add_argument("videos", nargs="+", help="video files")
    parser.add_argument("--weights", required=True, help="checkpoint of a training run, such as best.ckpt")
    parser.add_argument("--clip", help="frames x stride, such as 32x2; default: what the weights were trained on")
    parser.add_argument("--views", default="10x3", help="clips x crops: crops are 1 (centre), 3, or full, such as 10x3")
    parser.add_argument("--top", type=int, default=5, help="classes named per video")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
    add_device(parser)
    parsed = parse(parser, argv)
    num_clips, crops = parse_views(parsed.views)
    if parsed.clip is not None:
        parse_clip(parsed.clip)
    if parsed.top < 1:
        raise ValueError(f"--top must be at least 1, got {parsed.top}")
    model = from_checkpoint(parsed.weights)
    card = card_of(model)
    predictions = predict(
        model,
        parsed.videos,
        preprocessing=card["preprocessing"],
        class_names=card["class_names"],
        clip=parsed.clip,
        num_clips=num_clips,
        crops=crops,
        device=choose_device(parsed.device),
        top=parsed.top,
    )
    if parsed.json:
        print(json.dumps([dataclasses.asdict(prediction) for prediction in predictions], indent=2))
    else:
        _show(predictions)
    for prediction in predictions:
        if prediction.error:
            print(f"nonlocalnet: error: {prediction.error}", file=sys.stderr)
    return int(any(prediction.error for prediction in predictions))


def parse_views(text: str) -> tuple[int, Crops]:
    """Read "10x3" as (10 clips, "three" crops).

    >>> parse_views("10x3")
    (10, 'three')

    Raises:
        ValueError: If the text is not clips x crops.
    """
    clips, _, crops = text.partition("x")
    if not clips.isdecimal() or int(clips) < 1 or crops not in _CROPS:
        raise ValueError(f"--views must be clips x crops with 1, 3 or full crops, such as 10x3 or 1xfull, got {text!r}")
    return int(clips), _CROPS[crops]


def _show(predictions: Sequence[Prediction]) -> None:
    console = Console()
    for prediction in predictions:
        if prediction.error:
            continue
        table = Table(title=prediction.path, title_justify="left")
        table.add_column("class")
        table.add_column("probability", justify="right")
        for name, score in zip(prediction.names, prediction.scores, strict=True):
            table.add_row(name, f"{score:.4f}")
        console.print(table)
