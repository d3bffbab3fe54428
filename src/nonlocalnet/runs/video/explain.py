"""Where the blocks of a video network look, in a clip of a user's video."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch

from nonlocalnet.data.annotations import VideoEntry
from nonlocalnet.data.clips.views import Crops, cut_views
from nonlocalnet.data.clips.windows import ClipGeometry, clip_from, parse_clip
from nonlocalnet.data.pixels.normalise import normalise
from nonlocalnet.data.video.sources import open_source
from nonlocalnet.explanation import Explanation, explain
from nonlocalnet.formats import OpenedFile, load, plan_file
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.models.video.network import fresh_card
from nonlocalnet.runs.video.classes import with_class_names
from nonlocalnet.runs.video.options import asked_of

_MOST = 2048  # pixels of a short side: positions grow with its square, weights with its fourth power


def explain_weights(opened: OpenedFile, parsed: Namespace, *, device: torch.device) -> Explanation:
    """What `nonlocalnet explain` shows for a file of weights.

    Args:
        opened: Anything that `from_checkpoint` opens.
        parsed: What `explain` takes.
        device: Where the network runs.
    """
    plan = with_class_names(plan_file(opened, asked_of(parsed)), parsed.classes)
    model = load(plan, strict=True)[0].to(device)
    return explain_video(
        model,
        Path(parsed.file),
        clip=parsed.clip,
        start_seconds=parsed.start,
        crop="full" if parsed.full else "centre",
        short_side=parsed.short_side,
        blocks=parsed.blocks,
        progress=True,
    )


def explain_video(
    model: VideoResNet,
    path: Path,
    *,
    clip: str | None = None,
    start_seconds: float | None = None,
    crop: Crops = "centre",
    short_side: int | None = None,
    blocks: Sequence[str] | None = None,
    progress: bool = False,
) -> Explanation:
    """Where the blocks of a network look in one clip of a video.

    Args:
        model: The network, on the device where it is to run.
        path: The video.
        clip: Frames x stride such as "32x2"; None for the clip of the network's card.
        start_seconds: When the clip begins; None for the clip in the middle of the video. It ends with the video at
            the latest, and loops where that is shorter.
        crop: The "centre" square that tests cut, or the "full" frame.
        short_side: Pixels of the frames' short side; None for the network's own. Larger frames have more positions.
        blocks: Dotted paths; None for all.
        progress: Show progress on standard error.

    Returns:
        Where they look, with the most probable classes of this one clip and crop.

    Raises:
        FileNotFoundError: There is no such video.
        ValueError: It cannot be read, or an argument is out of range.
    """
    card = model.card or fresh_card(model)
    preprocessing = card.preprocessing
    shorter = preprocessing.short_side if short_side is None else short_side
    # What tests cut out of the frames, in the same proportion.
    square = min(shorter, round(preprocessing.crop * shorter / preprocessing.short_side))
    _check_short_side(model, shorter, square if crop == "centre" else shorter)
    geometry = _geometry(model, preprocessing, clip)
    with open_source(VideoEntry(path, -1)) as source:
        shown = [source.seconds(frame) for frame in range(source.num_frames)]
        wanted = _clip_at(shown, geometry, start_seconds)
        frames = source.read(wanted, short_side=shorter)
    views = cut_views(frames, crops=crop, short_side=shorter, crop=square)
    pixels = normalise(
        views.to(next(model.parameters()).device), mean=preprocessing.mean, std=preprocessing.std, bgr=preprocessing.bgr
    )
    return explain(
        model,
        pixels,
        blocks=blocks,
        title=path.name,
        network=network_words(model),
        pictures=views[0],
        class_names=card.class_names,
        frame_seconds=[shown[frame] for frame in wanted],
        progress=progress,
    )


def network_words(model: VideoResNet) -> str:
    """Such as "NL I3D-50"."""
    kind, _, depth = model.architecture.partition("_resnet")
    return f"NL {kind.upper()}-{depth}"


def _geometry(model: VideoResNet, preprocessing: Preprocessing, clip: str | None) -> ClipGeometry:
    own = ClipGeometry(preprocessing.clip_frames, preprocessing.frame_stride)
    geometry = own if clip is None else parse_clip(clip)
    least = model.min_input_size[0]
    if geometry.frames < least:
        got = f"{geometry.frames}x{geometry.stride}"
        raise ValueError(f"clip (--clip) must have at least {least} frames for this network's strides, got {got!r}")
    return geometry


def _check_short_side(model: VideoResNet, short_side: int, least_side: int) -> None:
    least = max(model.min_input_size[1:])
    if least_side < least or short_side > _MOST:
        raise ValueError(
            f"short_side (--short-side) must leave at least {least} pixels for this network, and be at most {_MOST}, "
            f"got {short_side}"
        )


def _clip_at(shown: Sequence[float], geometry: ClipGeometry, start_seconds: float | None) -> list[int]:
    """The frames of the clip, of a video whose frames are shown at these seconds."""
    last = max(len(shown) - geometry.span, 0)
    if start_seconds is None:
        return clip_from(last // 2, len(shown), geometry)
    if not 0 <= start_seconds <= shown[-1]:
        raise ValueError(f"start (--start) must be in the video's {shown[-1]:.2f} seconds, got {start_seconds:g}")
    first = next(frame for frame, seconds in enumerate(shown) if seconds >= start_seconds - 1e-6)
    return clip_from(min(first, last), len(shown), geometry)
