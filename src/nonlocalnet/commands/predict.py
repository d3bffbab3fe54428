"""`nonlocalnet predict FILE... --weights FILE`: the classes of videos, sounds and texts, the tags of words."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jsonargparse import Namespace

from nonlocalnet.commands.options.parsing import add_device, make_parser, parse
from nonlocalnet.commands.options.ranked import COLUMNS, ranked_rows, ranked_table
from nonlocalnet.commands.options.sequences import predict_sequences
from nonlocalnet.commands.options.written import files_of, keep_inputs, writable
from nonlocalnet.data.annotations.given import Given, find_given
from nonlocalnet.data.clips.sections import check_sections
from nonlocalnet.data.clips.views import Crops
from nonlocalnet.data.clips.windows import parse_clip
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.formats import card_of, holds_sequence_network, load, open_file, plan_file
from nonlocalnet.models import VideoResNet
from nonlocalnet.runs.video.classes import with_class_names
from nonlocalnet.runs.video.inference import Inference
from nonlocalnet.runs.video.options import add_asked, add_classes, add_inference, asked_of, inference_of, parse_views
from nonlocalnet.runs.video.predict import Prediction, chosen_clip, predict_each
from nonlocalnet.runs.video.timeline.scoring import ScoredWindow, Timeline, WindowScorer, WindowSettings
from nonlocalnet.runs.video.timeline.words import (
    CSV_COLUMNS,
    FIGURE_SUFFIXES,
    MOST_IN_A_FIGURE,
    as_plain,
    csv_rows,
    line_of,
)
from nonlocalnet.system.csv_text import rows_as_csv
from nonlocalnet.system.files import write_atomically
from nonlocalnet.system.progress import Counter, counted
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.typed import refuse_typed
from nonlocalnet.system.visible import visible


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet predict FILE... --weights FILE`; 1 if one could not be read."""
    parser = make_parser(
        "predict", "Name the most probable classes of videos, sounds or texts, or tag the words of texts."
    )
    parser.add_argument(
        "videos",
        metavar="FILE",
        nargs="*",
        help="videos, or what the weights are for: files, folders of them, quoted patterns, or lists",
    )
    parser.add_argument(
        "--text", nargs="+", action="extend", metavar="TEXT", help="texts, for a network that reads them"
    )
    parser.add_argument("--weights", required=True, help="best.ckpt of a training run, or any published weights")
    parser.add_argument(
        "--views",
        help="clips x crops: crops are 1 (centre), 3, or full; default: 10x3, or of each window autox3, as many clips "
        "as leave no frame out",
    )
    parser.add_argument("--top", type=int, default=5, help="classes named per video or window")
    parser.add_argument("--window", type=float, metavar="SECONDS", help="name the classes of each so long part instead")
    parser.add_argument("--step", type=float, metavar="SECONDS", help="from window to window; default: side by side")
    parser.add_argument("--figure", metavar="FILE", help="draw the windows' classes over time: .png, .svg or .pdf")
    parser.add_argument("--root", help="folder that relative paths in a list start from; default: the list's own")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
    parser.add_argument("--csv", metavar="FILE", help="write a row a class named, when all videos are done")
    add_asked(parser)
    add_classes(parser)
    add_device(parser)
    add_inference(parser)
    parsed = parse(parser, argv)
    if not parsed.videos and not parsed.text:
        raise ValueError("name what to look at: nonlocalnet predict FILE... --weights FILE, or --text TEXT")
    job = _Job.of(parsed)
    opened = open_file(parsed.weights)
    if holds_sequence_network(opened):
        return predict_sequences(opened, parsed)
    refuse_typed(parsed, ["text"], f"on {opened.path}: it is for networks that read texts, and this one is for videos")
    plan = with_class_names(plan_file(opened, asked_of(parsed)), parsed.classes)
    model = load(plan, strict=True)[0]
    card = card_of(model)
    given = find_given(parsed.videos, class_names=card.class_names, multi_label=card.multi_label, root=parsed.root)
    for option, out in (("--csv", job.csv), ("--figure", job.figure)):
        if out is not None:
            keep_inputs(option, out, (video.entry.path for video in given))
    return _timelines(job, model, given) if job.window is not None else _predictions(job, model, given)


@dataclass(frozen=True)
class _Job:
    """What was asked for, checked before the weights are read."""

    num_clips: int | None
    crops: Crops
    clip: str | None
    top: int
    window: float | None
    step: float
    as_json: bool
    csv: Path | None
    figure: Path | None
    inference: Inference
    device: torch.device

    @classmethod
    def of(cls, parsed: Namespace) -> _Job:
        """The job, or ValueError for an option that cannot be."""
        if parsed.clip is not None:
            parse_clip(parsed.clip)
        if parsed.top < 1:
            raise ValueError(f"--top must be at least 1, got {parsed.top}")
        alone = next((name for name in ("step", "figure") if parsed[name] is not None and parsed.window is None), None)
        if alone is not None:
            raise ValueError(f"--{alone} is for windows: give --window SECONDS with it")
        if parsed.window is not None:
            check_sections(window=parsed.window, step=parsed.window if parsed.step is None else parsed.step)
        num_clips, crops = _views(parsed.views, of_windows=parsed.window is not None)
        inputs = (*parsed.videos, *files_of(parsed.weights), parsed.classes)
        return cls(
            num_clips=num_clips,
            crops=crops,
            clip=parsed.clip,
            top=parsed.top,
            window=parsed.window,
            step=parsed.step or parsed.window or 0.0,
            as_json=parsed.json,
            csv=None if parsed.csv is None else writable("--csv", parsed.csv, inputs=inputs),
            figure=None
            if parsed.figure is None
            else writable("--figure", parsed.figure, suffixes=FIGURE_SUFFIXES, inputs=inputs),
            inference=inference_of(parsed, device=parsed.device),
            device=choose_device(parsed.device),
        )


def _views(text: str | None, *, of_windows: bool) -> tuple[int | None, Crops]:
    if of_windows and (text is None or text.startswith("auto")):
        return None, parse_views(f"1{(text or 'autox3').removeprefix('auto')}")[1]
    return parse_views(text or "10x3")


def _predictions(job: _Job, model: VideoResNet, given: Sequence[Given]) -> int:
    assert job.num_clips is not None
    predictions = predict_each(
        model,
        [video.entry for video in given],
        clip=chosen_clip(model, job.clip),
        num_clips=job.num_clips,
        crops=job.crops,
        top=job.top,
        device=job.device,
        inference=job.inference,
    )
    with counted("predicting", len(given)) as advance:
        made = list(_shown(zip(given, predictions, strict=True), advance, as_json=job.as_json))
    if job.csv is not None:
        rows = (row for video, one in made for row in ranked_rows(one, video.label))
        write_atomically(job.csv, rows_as_csv(COLUMNS, rows))
    return int(any(prediction.error for _, prediction in made))


def _timelines(job: _Job, model: VideoResNet, given: Sequence[Given]) -> int:
    assert job.window is not None
    if job.figure is not None and len(given) > MOST_IN_A_FIGURE:
        raise ValueError(f"--figure draws at most {MOST_IN_A_FIGURE} videos, got {len(given)}; give fewer, or --csv")
    settings = WindowSettings(job.window, job.step, chosen_clip(model, job.clip), job.num_clips, job.crops)
    scorer = WindowScorer(model, settings, inference=job.inference, device=job.device)
    made: list[Timeline] = []
    for count, video in enumerate(given):
        if not job.as_json:
            print(visible(f"{video.entry.path}" + (f" (listed as {video.label})" if video.label else "")), flush=True)
        made.append(_timeline(job, scorer, video))
        if job.as_json:
            print(",\n" if count else "[\n", json.dumps(as_plain(made[-1], top=job.top), indent=2), sep="", end="")
        if made[-1].error:
            print(visible(f"nonlocalnet: error: {made[-1].error}"), file=sys.stderr)
    if job.as_json:
        print("\n]")
    if job.csv is not None:
        rows = (row for one in made for row in csv_rows(one, top=job.top))
        write_atomically(job.csv, rows_as_csv(CSV_COLUMNS, rows))
    if job.figure is not None:
        from nonlocalnet.runs.video.timeline.figure import draw_timelines  # Matplotlib takes a second

        draw_timelines(made, job.figure)
    return int(any(one.error for one in made))


def _timeline(job: _Job, scorer: WindowScorer, video: Given) -> Timeline:
    """The timeline of a video; each window is printed when it is made, unless JSON is asked for."""
    with counted(video.entry.path.name, 0) as advance:

        def show(window: ScoredWindow) -> None:
            if not job.as_json:
                with advance.aside():
                    print(visible(line_of(window, scorer.class_names, top=job.top)), flush=True)
            advance()

        return scorer.timeline_of(video.entry, on_window=show, on_begin=advance.expect)


def _shown(
    made: Iterator[tuple[Given, Prediction]], advance: Counter, *, as_json: bool
) -> Iterator[tuple[Given, Prediction]]:
    """Print each prediction when it is made; JSON as one list, which is closed after the last."""
    console = make_console()
    for count, (video, prediction) in enumerate(made):
        with advance.aside():
            if as_json:
                label = {"label": video.label} if video.label else {}
                text = json.dumps({**dataclasses.asdict(prediction), **label}, indent=2)
                print(",\n" if count else "[\n", text, sep="", end="", flush=True)
            elif not prediction.error:
                console.print(ranked_table(prediction, video.label))
            if prediction.error:
                print(visible(f"nonlocalnet: error: {prediction.error}"), file=sys.stderr)
        advance()
        yield video, prediction
    if as_json:
        print("\n]")
