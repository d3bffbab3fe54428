"""Features of videos: res5's output, pooled over a video, over each clip, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict, get_args, overload

import torch
from typing_extensions import Unpack

from nonlocalnet.data.annotations import UNLABELLED, VideoEntry, VideoList
from nonlocalnet.data.clips.datasets import TestVideos, VideoViews
from nonlocalnet.data.clips.views import Crops
from nonlocalnet.data.clips.windows import ClipGeometry
from nonlocalnet.data.pixels.normalise import normalise
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.engine.loaders import make_loader
from nonlocalnet.formats import card_of
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.runs.video.inference import Inference, InferenceModel, for_inference, views_at_once
from nonlocalnet.runs.video.predict import chosen_clip, device_of
from nonlocalnet.system.errors import NonFiniteError
from nonlocalnet.system.progress import counted

Level = Literal["pooled", "clip", "map"]


@dataclass(frozen=True)
class VideoFeatures:
    """What a network sees in a video.

    Attributes:
        path: The video.
        features: float32 on the CPU, of C channels: "pooled" (C,), "clip" (clips, C), "map" (V, C, T', H', W') with V
            views, the crops of the first clip, of the second, and so on. (0,) where the video could not be read.
        seconds: float64 (clips, 2): when the first and the last frame of each clip are shown; NaN where frames have no
            times.
        error: Why the video could not be read; empty if it was.
    """

    path: str
    features: torch.Tensor
    seconds: torch.Tensor
    error: str


@dataclass(frozen=True)
class FeatureSettings:
    """Which features of which views.

    Attributes:
        level: "pooled": the mean over all positions of all views; "clip": a row a clip, the mean over the positions of
            its crops; "map": res5's output as it is.
        clip: Of each view.
        num_clips: Clips a video, evenly spaced.
        crops: As `predict` takes them.
    """

    level: Level
    clip: ClipGeometry
    num_clips: int
    crops: Crops

    def __post_init__(self) -> None:
        if self.level not in get_args(Level):
            raise ValueError(f"level (--level) must be one of {', '.join(get_args(Level))}, got {self.level!r}")


class _Further(TypedDict, total=False):
    """What `features` takes beside the network and the videos."""

    level: Level
    clip: str | None
    num_clips: int
    crops: Crops
    inference: Inference | None
    device: torch.device | str | None
    batch_views: int | None
    progress: bool


@overload
def features(  # pyright: ignore[reportOverlappingOverload]  a str is a sequence of them, and one path
    model: VideoResNet, path: str | os.PathLike[str], **further: Unpack[_Further]
) -> VideoFeatures: ...
@overload
def features(
    model: VideoResNet, path: Sequence[str | os.PathLike[str]], **further: Unpack[_Further]
) -> list[VideoFeatures]: ...
def features(
    model: VideoResNet,
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    level: Level = "pooled",
    clip: str | None = None,
    num_clips: int = 10,
    crops: Crops = "centre",
    inference: Inference | None = None,
    device: torch.device | str | None = None,
    batch_views: int | None = None,
    progress: bool = False,
) -> VideoFeatures | list[VideoFeatures]:
    """What a network sees in a video, or in each of several: the input of its classifier, or the map before pooling.

    Args:
        model: A network from `from_checkpoint`; moved to `device` and put in eval mode.
        path: A video file, or several.
        level: "pooled" (C,) a video, "clip" (clips, C), or "map" (views, C, T', H', W').
        clip: Frames x stride such as "32x2"; None for the card's.
        num_clips: Clips a video.
        crops: "three" crops along the longer side, the "centre" one, or the "full" frame.
        inference: The arithmetic; None for `Inference()`. Nothing is compiled or compared with float32.
        device: Where the network runs; None for where it is.
        batch_views: Views that go through the network at once; None for as many as suit the device.
        progress: Show a progress bar on standard error.

    Returns:
        For one path its features; for several, one each in order, with `error` for those that cannot be read.

    Raises:
        ValueError: An argument is out of range, or the network has no card; for one path, that it cannot be read.
        FileNotFoundError: For one path, that there is no such file.
        NonFiniteError: A feature is NaN or infinite.
    """
    single = isinstance(path, (str, os.PathLike))
    paths = [path] if single else list(path)
    entries = [VideoEntry(Path(one), UNLABELLED) for one in paths]
    made = features_of_each(
        model,
        entries,
        settings=FeatureSettings(level, chosen_clip(model, clip), num_clips, crops),
        inference=inference or Inference(),
        device=device_of(model) if device is None else torch.device(device),
        batch_views=batch_views,
    )
    found: list[VideoFeatures] = []
    with counted("features", len(entries)) if progress else nullcontext(lambda: None) as advance:
        for one in made:
            found.append(one)
            advance()
    if not single:
        return found
    if found[0].error:
        raise (VideoError if entries[0].path.exists() else FileNotFoundError)(found[0].error)
    return found[0]


def features_of_each(
    model: VideoResNet,
    entries: Sequence[VideoEntry],
    *,
    settings: FeatureSettings,
    inference: Inference,
    device: torch.device,
    batch_views: int | None = None,
) -> Iterator[VideoFeatures]:
    """As `features`, of listed videos, and each when it is made.

    Args:
        model: As there.
        entries: The videos; their labels are not used.
        settings: Which features.
        inference: As there.
        device: As there.
        batch_views: As there.

    Returns:
        One for each, in order.
    """
    preprocessing = card_of(model).preprocessing
    videos = TestVideos(
        VideoList(tuple(entries), None, "the videos given"),
        settings.clip,
        num_clips=settings.num_clips,
        crops=settings.crops,
        short_side=preprocessing.short_side,
        crop=preprocessing.crop,
    )
    network, _ = for_inference(model, inference.on(device))
    network.to(device).eval()
    at_once = batch_views or views_at_once(device)
    loader = make_loader(videos, batch_size=None, workers=0, pin_memory=device.type == "cuda")
    return (_of_video(network, item, preprocessing, settings.level, device, at_once) for item in loader)


# Not in inference mode: what comes out of it cannot be trained on.
@torch.no_grad()
def _of_video(
    network: InferenceModel, item: VideoViews, p: Preprocessing, level: Level, device: torch.device, at_once: int
) -> VideoFeatures:
    path, seconds, error = item["path"], item["seconds"], item["error"]
    if error:
        return VideoFeatures(path, torch.zeros(0), seconds, error)
    prepare = partial(normalise, mean=p.mean, std=p.std, bgr=p.bgr)
    parts: list[torch.Tensor] = []
    for views in item["views"].split(at_once):
        part = network.feature_map(prepare(views.to(device, non_blocking=True)))
        parts.append((part if level == "map" else part.double().mean(dim=(2, 3, 4))).cpu())
    found = torch.cat(parts)
    if not torch.isfinite(found).all():
        raise NonFiniteError(f"the features of {path} are not finite: the weights may be broken")
    if level != "map":
        found = found.unflatten(0, (len(seconds), -1)).mean(dim=1)  # (clips, C)
    if level == "pooled":
        found = found.mean(dim=0)
    return VideoFeatures(path, found.float(), seconds, "")
