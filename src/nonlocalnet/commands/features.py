"""`nonlocalnet features VIDEO... --weights FILE -o DIR`: what a network sees in videos, a file each and an index."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import get_args

from jsonargparse import ArgumentParser  # pyright: ignore[reportPrivateImportUsage]

from nonlocalnet.commands.options.parsing import add_device, make_parser, parse
from nonlocalnet.data.annotations.given import Given, find_given
from nonlocalnet.data.clips.windows import parse_clip
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.formats import OpenedFile, card_of, load, open_file, plan_file
from nonlocalnet.runs.kinds import KINDS, kind_of_file
from nonlocalnet.runs.video.features.extract import FeatureSettings, Level, VideoFeatures, features_of_each
from nonlocalnet.runs.video.features.folder import (
    FeatureFolder,
    Format,
    check_folder,
    open_folder,
    settings_of,
)
from nonlocalnet.runs.video.inference import Inference
from nonlocalnet.runs.video.options import add_asked, add_precision, asked_of, bf16_of, parse_views
from nonlocalnet.runs.video.predict import chosen_clip
from nonlocalnet.system.progress import counted
from nonlocalnet.system.visible import visible


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet features VIDEO... --weights FILE -o DIR`; 1 if a video could not be read."""
    parsed = parse(_parser(), argv)
    if parsed.clip is not None:
        parse_clip(parsed.clip)
    num_clips, crops = parse_views(parsed.views)
    device, out = choose_device(parsed.device), Path(parsed.out)
    inference = Inference(bf16=bf16_of(parsed)).on(device)
    check_folder(out)
    opened = open_file(parsed.weights)
    require_video(opened)
    model = load(plan_file(opened, asked_of(parsed)), strict=True)[0]
    card = card_of(model)
    given = find_given(parsed.videos, class_names=card.class_names, multi_label=card.multi_label, root=parsed.root)
    settings = FeatureSettings(parsed.level, chosen_clip(model, parsed.clip), num_clips, crops)
    decided = settings_of(model, settings, bf16=bool(inference.bf16))
    with open_folder(out, decided, file_format=parsed.format) as folder:
        missing = [video for video in given if not folder.has(video.entry)]
        entries = [video.entry for video in missing]
        made = features_of_each(model, entries, settings=settings, inference=inference, device=device)
        broken = _write(folder, zip(missing, made, strict=True), count=len(missing))
        listed = "there is no index yet" if folder.index is None else f"{visible(folder.index)} lists them"
    kept = len(given) - len(missing)
    print(f"{len(missing) - broken} written, {kept} there before, {broken} unreadable; {listed}")
    return int(broken > 0)


def _parser() -> ArgumentParser:
    parser = make_parser(
        "features",
        "Write what a network sees in videos: the input of its classifier, or the map before pooling. A run that was "
        "ended goes on where it was.",
    )
    parser.add_argument("videos", nargs="+", help="video files, folders of them, quoted patterns, or lists of videos")
    parser.add_argument("--weights", required=True, help="best.ckpt of a training run, or any published weights")
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="new, or begun with the same settings")
    parser.add_argument(
        "--level",
        choices=get_args(Level),
        default="pooled",
        help="pooled over all clips of a video, a row a clip, or the map before pooling",
    )
    parser.add_argument("--format", choices=get_args(Format), default="npy", help="of the files")
    parser.add_argument("--views", default="10x1", help="clips x crops: crops are 1 (centre), 3, or full")
    parser.add_argument("--root", help="folder that relative paths in a list start from; default: the list's own")
    add_asked(parser)
    add_device(parser)
    add_precision(parser, "compute in bfloat16, which moves the features")
    return parser


def _write(folder: FeatureFolder, made: Iterable[tuple[Given, VideoFeatures]], *, count: int) -> int:
    """Write each video's when they are made, and say so; how many could not be read."""
    broken = 0
    with counted("features", count) as advance:
        for video, found in made:
            key = "" if found.error else folder.add(video, found)
            with advance.aside():
                if found.error:
                    print(visible(f"nonlocalnet: error: {found.error}"), file=sys.stderr)
                else:
                    shape = "x".join(map(str, found.features.shape))
                    print(visible(f"{found.path}: {shape}, {key}"), flush=True)
            broken += bool(found.error)
            advance()
    return broken


def require_video(opened: OpenedFile) -> None:
    """Refuse a detector and a network of sequences.

    Raises:
        ValueError: It is one; names the file.
    """
    kind = kind_of_file(opened)
    if kind is not KINDS[0]:
        what, runs = ("a detector", "detect") if kind.name == "detection" else ("a network of sequences", "predict")
        raise ValueError(
            f"{opened.path} holds {what}, and features are those of networks that classify videos; "
            f"`nonlocalnet {runs}` runs it"
        )
