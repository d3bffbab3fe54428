"""Naming the classes of videos."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from nonlocalnet.data.annotations import VideoEntry, VideoList
from nonlocalnet.data.clips.datasets import TestVideos
from nonlocalnet.data.clips.windows import ClipGeometry, parse_clip
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.runs.video.inference import Inference
from nonlocalnet.runs.video.results.summary import measure_movement
from nonlocalnet.runs.video.score_videos import score_share

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of a video.

    Attributes:
        path: The video.
        classes: Class indices, most probable first; empty where the video could not be read.
        names: Their names; the indices as text where names are unknown.
        scores: Their probabilities.
        error: Why the video could not be read; empty if it was.
    """

    path: str
    classes: list[int]
    names: list[str]
    scores: list[float]
    error: str


def predict(
    model: VideoResNet,
    paths: Sequence[str | os.PathLike[str]],
    *,
    preprocessing: Preprocessing,
    class_names: list[str] | tuple[str, ...] | None,
    clip: str | None = None,
    num_clips: int = 10,
    crops: Literal["three", "centre", "full"] = "three",
    multi_label: bool = False,
    inference: Inference | None = None,
    device: torch.device,
    batch_views: int | None = None,
    top: int = 5,
    progress: bool = True,
) -> list[Prediction]:
    """Score videos and name the most probable classes of each.

    Args:
        model: The network.
        paths: Video files.
        preprocessing: What the network's card says of its input (`nonlocalnet.formats`).
        class_names: One name per class, or None.
        clip: Frames x stride such as "32x2"; None for the preprocessing's.
        num_clips: Evenly spaced clips per video.
        crops: "three" crops along the longer side, the "centre" one, or the "full" frame.
        multi_label: Whether a video may have several classes: their probabilities do not sum to 1 then.
        inference: The arithmetic; None for `Inference()`. How far bfloat16 moves the scores is logged.
        device: Where the network runs.
        batch_views: Views that go through the network at once; None for as many as suit the device.
        top: Classes named per video.
        progress: Show a progress bar on standard error.

    Returns:
        One prediction per path, in order.

    Raises:
        ValueError: If an argument is out of range.
        NonFiniteError: If a score is NaN or infinite.
    """
    own = ClipGeometry(preprocessing.clip_frames, preprocessing.frame_stride)
    geometry = own if clip is None else parse_clip(clip)
    least = model.min_input_size[0]
    if geometry.frames < least:
        got = f"{geometry.frames}x{geometry.stride}"
        raise ValueError(f"clip (--clip) must have at least {least} frames for this network's strides, got {got!r}")
    videos = TestVideos(
        VideoList(tuple(VideoEntry(Path(path), -1) for path in paths), None, "the command line"),
        geometry,
        num_clips=num_clips,
        crops=crops,
        short_side=preprocessing.short_side,
        crop=preprocessing.crop,
    )
    results = score_share(
        model,
        videos,
        preprocessing=preprocessing,
        inference=(inference or Inference()).on(device),
        device=device,
        batch_views=batch_views,
        multi_label=multi_label,
        progress=progress,
        describe="predict",
    )
    movement = measure_movement(results)
    if movement is not None:
        log.info("%s", movement)
    predictions = []
    for path, result in zip(paths, results, strict=True):
        order = [] if result.error else result.mean.argsort(descending=True, stable=True)[:top].tolist()
        names = [str(i) if class_names is None else class_names[i] for i in order]
        predictions.append(Prediction(str(path), order, names, [result.mean[i].item() for i in order], result.error))
    return predictions
