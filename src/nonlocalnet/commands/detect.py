"""`nonlocalnet detect IMAGE|VIDEO... --weights FILE -o DIR`: objects, masks and keypoints, drawn."""

from __future__ import annotations

import io
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace  # pyright: ignore[reportPrivateImportUsage]
from PIL import Image
from rich.table import Table
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from nonlocalnet.commands.options.parsing import add_device, make_parser, parse
from nonlocalnet.data.annotations import VIDEO_SUFFIXES
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.engine.run_folder import prepare_output, require_free
from nonlocalnet.models.detection.card import DetectionCard
from nonlocalnet.runs.detection.card import labels_of, open_detector, saved_recipe
from nonlocalnet.runs.detection.draw import draw
from nonlocalnet.runs.detection.network import set_sizes
from nonlocalnet.runs.detection.predict import Detected, detect
from nonlocalnet.runs.detection.video import detect_video
from nonlocalnet.system.files import write_atomically
from nonlocalnet.system.progress import counted
from nonlocalnet.system.terminal import make_console
from nonlocalnet.system.typed import refuse_typed
from nonlocalnet.system.visible import visible


def main(argv: Sequence[str]) -> int:
    """Run `nonlocalnet detect IMAGE|VIDEO... --weights FILE [-o DIR] [--json]`; 1 if one could not be read."""
    parsed = parse(_make_parser(), argv)
    out = None if parsed.out is None else Path(parsed.out)
    images = _checked_images(parsed, out)
    if out is not None:
        require_free(out, resume=False)
    device = choose_device(parsed.device)
    detector, card = open_detector(parsed.weights)
    _set_short_side(detector, card, parsed.min_size)
    if out is not None:
        prepare_output(out, resume=False)
    options: dict[str, Any] = {
        "labels": labels_of(card),
        "device": device,
        "min_score": parsed.min_score,
        "bf16": False if parsed.no_bf16 else None,
    }
    entries = _detected(detector, images, out, skeleton=card.skeleton, every=parsed.every, options=options)
    if parsed.json:
        print(json.dumps(entries, indent=2))
    else:
        _show(entries)
    for entry in entries:
        if entry["error"]:
            print(visible(f"nonlocalnet: error: {entry['error']}"), file=sys.stderr)
    return int(any(entry["error"] for entry in entries))


def _make_parser() -> ArgumentParser:
    parser = make_parser("detect", "Find objects, masks and keypoints in images and videos, and draw them.")
    parser.add_argument("images", nargs="+", help="image and video files, or folders of them; each is read once")
    parser.add_argument("--weights", required=True, help="checkpoint of a detection run, such as best.ckpt")
    parser.add_argument("-o", "--out", help="new or empty folder: a PNG an image, an mp4 and a .jsonl a video")
    parser.add_argument("--every", type=int, default=1, help="of a video, look at and draw every so many frames only")
    parser.add_argument("--min-score", type=float, default=0.5, help="lowest score of what is shown, in [0, 1]")
    parser.add_argument("--min-size", type=int, help="short side in pixels; default: what the weights were trained on")
    parser.add_argument("--json", action="store_true", help="print JSON, and nothing else, on standard output")
    parser.add_argument("--no-bf16", action="store_true", help="float32 on every device, a GPU with bfloat16 too")
    add_device(parser)
    return parser


def _checked_images(parsed: Namespace, out: Path | None) -> list[Path]:
    """The files that are asked for, each once; a ValueError for options that do not fit them."""
    if not 0 <= parsed.min_score <= 1:
        raise ValueError(f"--min-score must be in [0, 1], got {parsed.min_score}")
    images = list(dict.fromkeys(path for given in parsed.images for path in _images_at(Path(given))))
    if parsed.every < 1:
        raise ValueError(f"--every must be at least 1, got {parsed.every}")
    video = next((path for path in images if _is_video(path)), None)
    if video is None:
        refuse_typed(parsed, ["every"], "on images: it is for videos, of which none is given")
    elif out is None:
        raise ValueError(f"{video} is a video: give a folder for its drawing and what is found, -o DIR")
    return images


def _set_short_side(detector: GeneralizedRCNN, card: DetectionCard, min_size: int | None) -> None:
    data = saved_recipe(card).data
    side = (data.test_min_size or data.min_sizes[-1]) if min_size is None else min_size
    if not 1 <= side <= data.max_size:
        raise ValueError(f"--min-size must be from 1 to {data.max_size}, got {side}")
    set_sizes(detector, (side,), max_size=data.max_size)


def _detected(
    detector: GeneralizedRCNN,
    images: Sequence[Path],
    out: Path | None,
    *,
    skeleton: Sequence[Sequence[int]],
    every: int,
    options: dict[str, Any],
) -> list[dict[str, Any]]:
    """What is printed of each file, in their order; drawn into `out`."""
    lines = [(a, b) for a, b in skeleton]
    entries: list[dict[str, Any]] = []
    for videos, paths in itertools.groupby(images, key=_is_video):
        if videos:
            assert out is not None
            for path in paths:
                to = _free_stem(out, path.stem)
                entries.append(asdict(detect_video(detector, path, to=to, every=every, skeleton=lines, **options)))
        else:
            some = list(paths)
            found = _with_progress(detect(detector, some, **options), len(some))
            entries.extend(_drawn(detected, out, lines) for detected in found)
    return entries


def _images_at(path: Path) -> list[Path]:
    """The file itself, or the images and videos of a folder by name."""
    if not path.is_dir():
        return [path]
    known = {*Image.registered_extensions(), *VIDEO_SUFFIXES}
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in known and not file.name.startswith("."))
    if not found:
        raise ValueError(f"{path}: the folder holds no images or videos")
    return found


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def _with_progress(found: Iterator[Detected], total: int) -> Iterator[Detected]:
    with counted("detecting", total) as advance:
        for detected in found:
            yield detected
            advance()


def _drawn(detected: Detected, out: Path | None, skeleton: list[tuple[int, int]]) -> dict[str, Any]:
    drawing = ""
    if out is not None and detected.image is not None:
        path = Path(f"{_free_stem(out, Path(detected.path).stem)}.png")
        write_atomically(path, _png(draw(detected, skeleton=skeleton)))
        drawing = str(path)
    return {"path": detected.path, "objects": detected.objects, "drawing": drawing, "error": detected.error}


def _png(image: Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, format="PNG")
    return buffer.getvalue()


def _free_stem(out: Path, stem: str) -> Path:
    """Without an ending; files of one name in several folders get numbers."""
    path, number = out / stem, 2
    while any(Path(f"{path}{suffix}").exists() for suffix in (".png", ".mp4", ".jsonl")):
        path, number = out / f"{stem}_{number}", number + 1
    return path


def _show(entries: Sequence[dict[str, Any]]) -> None:
    console = make_console()
    for entry in entries:
        if entry["error"]:
            continue
        if "frames" in entry:
            found = ", ".join(f"{name} {count}" for name, count in entry["found"].items()) or "nothing"
            console.print(
                f"{entry['path']}: in {entry['frames']} frames {found}\n{entry['drawing']}\n{entry['results']}"
            )
            continue
        table = Table(title=entry["path"], title_justify="left")
        table.add_column("class")
        table.add_column("score", justify="right")
        table.add_column("box x1, y1, x2, y2", justify="right")
        for o in entry["objects"]:
            table.add_row(o["class"], f"{o['score']:.3f}", ", ".join(f"{side:.0f}" for side in o["box"]))
        console.print(table)
        if entry["drawing"]:
            console.print(entry["drawing"])
