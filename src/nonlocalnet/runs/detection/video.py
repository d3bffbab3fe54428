"""Finding objects in videos, frame by frame: each video becomes an mp4 with what was found drawn, and a list of it.

Memory holds a few frames, however long the video is. The sound is not carried over.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nonlocalnet.data.coco.labels import Labels
from nonlocalnet.data.video.decoding.finish import Finish
from nonlocalnet.data.video.decoding.in_order import frames_in_order
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.data.video.frame_index import frame_index
from nonlocalnet.data.video.write_frames import frame_writer
from nonlocalnet.engine.machine import has_fast_bf16
from nonlocalnet.runs.detection.draw import draw
from nonlocalnet.runs.detection.predict import detect_images
from nonlocalnet.system.files import whole_file
from nonlocalnet.system.progress import counted


@dataclass(frozen=True)
class VideoDetected:
    """What became of one video.

    Attributes:
        path: The video.
        frames: How many were looked at.
        found: How many objects of each class, over all of these.
        drawing: The mp4; empty where the video could not be read.
        results: The file with a JSON object a line for each frame: "frame" from 0, "seconds" from the first, and
            "objects" as `nonlocalnet.runs.detection.predict.Detected` has them; empty likewise.
        error: Why the video could not be read; empty if it was. Then there is neither file.
    """

    path: str
    frames: int
    found: dict[str, int]
    drawing: str
    results: str
    error: str


def detect_video(
    model: nn.Module,
    path: Path,
    *,
    to: Path,
    labels: Labels,
    device: torch.device,
    min_score: float,
    bf16: bool | None = None,
    every: int = 1,
    skeleton: Sequence[tuple[int, int]] | None = None,
) -> VideoDetected:
    """Find objects in the frames of a video and draw them; both files appear when they are whole.

    Args:
        model: A detector; moved to `device` and put in eval mode.
        path: The video, shown upright as its display matrix says.
        to: Where the files go: this and ".mp4", and this and ".jsonl", in an existing folder.
        labels: The detector's.
        device: Where it runs.
        min_score: Lowest score of an object that is kept.
        bf16: Convolutions and products in bfloat16; None for where a GPU has that arithmetic.
        every: Look at and draw frames 0, `every`, 2 `every` and so on, each at its own time.
        skeleton: Pairs of keypoints to join, counted from 0.

    Returns:
        What was found; a video that cannot be read says why.

    Raises:
        OSError: A file cannot be written.
    """
    model.to(device).eval()
    bf16 = has_fast_bf16(device) if bf16 is None else bf16
    drawing, results = Path(f"{to}.mp4"), Path(f"{to}.jsonl")
    found: Counter[str] = Counter()
    try:
        index = frame_index(path)
        wanted = np.arange(0, index.num_frames, every)
        rate = len(wanted) / index.duration_seconds if index.duration_seconds > 0 else 25.0
        with (
            whole_file(drawing) as partial_drawing,
            whole_file(results) as partial_results,
            partial_results.open("w") as lines,
            frame_writer(partial_drawing, rate=rate) as write,
            counted(f"detecting in {path.name}", len(wanted)) as advance,
        ):
            frames = frames_in_order(path, index, wanted, finish=Finish(short_side=None, crop=None))
            for numbers, images in _batches(frames, 4 if device.type == "cuda" else 1):
                all_detected = detect_images(
                    model, images, path=str(path), labels=labels, device=device, min_score=min_score, bf16=bf16
                )
                for number, detected in zip(numbers, all_detected, strict=True):
                    seconds = float(index.seconds[number])
                    line = {"frame": number, "seconds": round(seconds, 6), "objects": detected.objects}
                    lines.write(json.dumps(line) + "\n")
                    write(draw(detected, skeleton=skeleton), seconds)
                    found.update(o["class"] for o in detected.objects)
                    advance()
    except (VideoError, FileNotFoundError) as error:
        return VideoDetected(str(path), 0, {}, "", "", str(error))
    return VideoDetected(str(path), len(wanted), dict(found.most_common()), str(drawing), str(results), "")


def _batches(frames: Iterator[tuple[int, Tensor]], size: int) -> Iterator[tuple[list[int], list[Tensor]]]:
    """Frame numbers and uint8 (3, H, W) pictures, so many at once."""
    numbers: list[int] = []
    images: list[Tensor] = []
    for number, frame_HWC in frames:
        numbers.append(number)
        images.append(frame_HWC.permute(2, 0, 1).contiguous())
        if len(images) == size:
            yield numbers, images
            numbers, images = [], []
    if images:
        yield numbers, images
