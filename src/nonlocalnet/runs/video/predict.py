"""Naming the classes of videos."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, overload

import torch
from typing_extensions import Unpack

from nonlocalnet.data.annotations import UNLABELLED, VideoEntry, VideoList
from nonlocalnet.data.clips.datasets import TestVideos
from nonlocalnet.data.clips.views import Crops
from nonlocalnet.data.clips.windows import ClipGeometry, parse_clip
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.engine.top_classes import top_classes
from nonlocalnet.formats import card_of
from nonlocalnet.models import VideoResNet
from nonlocalnet.runs.video.inference import Inference
from nonlocalnet.runs.video.results.summary import measure_movement
from nonlocalnet.runs.video.score_videos import VideoScores, score_share

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


class _Further(TypedDict, total=False):
    """What `predict` takes beside the network and the videos."""

    clip: str | None
    num_clips: int
    crops: Crops
    top: int
    inference: Inference | None
    device: torch.device | str | None
    batch_views: int | None
    progress: bool


@overload
def predict(  # pyright: ignore[reportOverlappingOverload]  a str is a sequence of them, and one path
    model: VideoResNet, path: str | os.PathLike[str], **further: Unpack[_Further]
) -> Prediction: ...
@overload
def predict(
    model: VideoResNet, path: Sequence[str | os.PathLike[str]], **further: Unpack[_Further]
) -> list[Prediction]: ...
def predict(
    model: VideoResNet,
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    clip: str | None = None,
    num_clips: int = 10,
    crops: Crops = "three",
    top: int = 5,
    inference: Inference | None = None,
    device: torch.device | str | None = None,
    batch_views: int | None = None,
    progress: bool = False,
) -> Prediction | list[Prediction]:
    """Name the most probable classes of a video, or of each of several.

    The scores are the probabilities averaged over the views: evenly spaced clips, each cut by the same crops. Input,
    class names and whether a video may have several classes (then their probabilities do not sum to 1) are those that
    the network's card says.

    Args:
        model: A network from `from_checkpoint`; moved to `device` and put in eval mode.
        path: A video file, or several.
        clip: Frames x stride such as "32x2"; None for the card's.
        num_clips: Clips a video.
        crops: "three" crops along the longer side, the "centre" one, or the "full" frame.
        top: Classes named for each video.
        inference: The arithmetic; None for `Inference()`. How far bfloat16 moves the scores is logged.
        device: Where the network runs; None for where it is.
        batch_views: Views that go through the network at once; None for as many as suit the device.
        progress: Show a progress bar on standard error.

    Returns:
        For one path its prediction; for several, one each in order, with `error` for those that cannot be read.

    Raises:
        ValueError: An argument is out of range, or the network has no card; for one path, that it cannot be read.
        FileNotFoundError: For one path, that there is no such file.
        NonFiniteError: A score is NaN or infinite.
    """
    single = isinstance(path, (str, os.PathLike))
    paths = [path] if single else list(path)
    entries = [VideoEntry(Path(one), UNLABELLED) for one in paths]
    found = list(
        predict_each(
            model,
            entries,
            clip=chosen_clip(model, clip),
            num_clips=num_clips,
            crops=crops,
            top=top,
            inference=inference or Inference(),
            device=device_of(model) if device is None else torch.device(device),
            batch_views=batch_views,
            progress=progress,
        )
    )
    if not single:
        return found
    if found[0].error:
        raise (VideoError if entries[0].path.exists() else FileNotFoundError)(found[0].error)
    return found[0]


def predict_each(
    model: VideoResNet,
    entries: Sequence[VideoEntry],
    *,
    clip: ClipGeometry,
    num_clips: int,
    crops: Crops,
    top: int,
    inference: Inference,
    device: torch.device,
    batch_views: int | None = None,
    progress: bool = False,
) -> Iterator[Prediction]:
    """As `predict`, of listed videos, and each when it is made.

    Args:
        model: As there.
        entries: The videos; their labels are not used.
        clip: From `chosen_clip`.
        num_clips: As there.
        crops: As there.
        top: As there.
        inference: As there.
        device: As there.
        batch_views: As there.
        progress: As there.

    Yields:
        One prediction for each, in order.
    """
    card = card_of(model)
    if top < 1:
        raise ValueError(f"top (--top) must be at least 1, got {top}")
    videos = TestVideos(
        VideoList(tuple(entries), None, "the videos given"),
        clip,
        num_clips=num_clips,
        crops=crops,
        short_side=card.preprocessing.short_side,
        crop=card.preprocessing.crop,
    )
    results = score_share(
        model,
        videos,
        preprocessing=card.preprocessing,
        inference=inference.on(device),
        device=device,
        batch_views=batch_views,
        multi_label=card.multi_label,
        progress=progress,
        describe="predict",
    )
    compared: list[VideoScores] = []
    for entry, result in zip(entries, results, strict=True):
        compared += [result] if result.float32_mean is not None else []
        classes, names, scores = ([], [], []) if result.error else top_classes(result.mean, card.class_names, top)
        yield Prediction(str(entry.path), classes, names, scores, result.error)
    movement = measure_movement(compared)
    if movement is not None:
        log.info("%s", movement)


def chosen_clip(model: VideoResNet, clip: str | None) -> ClipGeometry:
    """The clip that is asked for, or the one that the network's card says.

    Raises:
        ValueError: It has no such form, or is too short for the network; or the network has no card.
    """
    own = card_of(model).preprocessing
    geometry = ClipGeometry(own.clip_frames, own.frame_stride) if clip is None else parse_clip(clip)
    least = model.min_input_size[0]
    if geometry.frames < least:
        got = f"{geometry.frames}x{geometry.stride}"
        raise ValueError(f"clip (--clip) must have at least {least} frames for this network's strides, got {got!r}")
    return geometry


def device_of(model: torch.nn.Module) -> torch.device:
    """Where a network's parameters are."""
    return next(model.parameters()).device
