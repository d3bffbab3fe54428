"""Scores of the windows of a long video: decoded once, in order, in memory that does not grow with it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from nonlocalnet.data.annotations import UNLABELLED, VideoEntry
from nonlocalnet.data.clips.sections import Section, Sections, check_sections
from nonlocalnet.data.clips.views import Crops, cut_views
from nonlocalnet.data.clips.windows import ClipGeometry, require_clip_count
from nonlocalnet.data.pixels.normalise import normalise
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.data.video.sources import VideoSource, open_source
from nonlocalnet.formats import card_of
from nonlocalnet.models import VideoResNet
from nonlocalnet.runs.video.inference import Inference, for_inference, views_at_once
from nonlocalnet.runs.video.predict import chosen_clip, device_of
from nonlocalnet.runs.video.score_videos import view_scores
from nonlocalnet.system.progress import counted


@dataclass(frozen=True)
class ScoredWindow:
    """What is seen in a part of a video.

    Attributes:
        start: Seconds from the first frame.
        end: Seconds.
        scores: (classes,) float32 probabilities on the CPU, averaged over the views of all its clips.
    """

    start: float
    end: float
    scores: torch.Tensor


@dataclass(frozen=True)
class Timeline:
    """The classes of a video over time.

    Attributes:
        path: The video.
        class_names: One name a class.
        windows: In order; where the video breaks off, those before.
        error: Why it could not be read, or not to its end; empty if it was.
    """

    path: str
    class_names: list[str]
    windows: list[ScoredWindow]
    error: str = ""


@dataclass(frozen=True)
class WindowSettings:
    """Which windows and views.

    Attributes:
        window: Seconds of a window.
        step: Seconds from the start of one to that of the next.
        clip: Of each view.
        num_clips: Clips of a window; None for as many as leave no frame between them.
        crops: As `predict` takes them.
    """

    window: float
    step: float
    clip: ClipGeometry
    num_clips: int | None = None
    crops: Crops = "three"

    def __post_init__(self) -> None:
        check_sections(window=self.window, step=self.step)
        if self.num_clips is not None:
            require_clip_count(self.num_clips)


def timeline(
    model: VideoResNet,
    path: str | os.PathLike[str],
    *,
    window: float,
    step: float | None = None,
    clip: str | None = None,
    num_clips: int | None = None,
    crops: Crops = "three",
    inference: Inference | None = None,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> Timeline:
    """Name what is seen in each part of a long video.

    A window is scored as `predict` scores a whole video: clips at the network's own stride, spread evenly over the
    window, and their probabilities averaged. To stretch one clip over a window would show the network motions at a
    speed that it was not trained on.

    Args:
        model: A network from `from_checkpoint`; moved to `device` and put in eval mode.
        path: A video file.
        window: Seconds of a window; a shorter video is one window.
        step: Seconds from the start of one to that of the next; None for windows side by side.
        clip: Frames x stride such as "32x2"; None for the card's.
        num_clips: Clips a window; None for as many as leave no frame between them.
        crops: "three" crops along the longer side, the "centre" one, or the "full" frame.
        inference: The arithmetic; None for `Inference()`.
        device: Where the network runs; None for where it is.
        progress: Show a progress bar on standard error.

    Returns:
        All windows, with the scores of all classes.

    Raises:
        ValueError: An argument is out of range, a window is shorter than a clip, the network has no card, or the video
            cannot be read to its end.
        FileNotFoundError: There is no such file.
        NonFiniteError: A score is NaN or infinite.
    """
    settings = WindowSettings(window, window if step is None else step, chosen_clip(model, clip), num_clips, crops)
    where = device_of(model) if device is None else torch.device(device)
    scorer = WindowScorer(model, settings, inference=inference or Inference(), device=where)
    with counted(Path(path).name, 0) as advance:
        found = scorer.timeline_of(
            VideoEntry(Path(path), UNLABELLED),
            on_window=(lambda _: advance()) if progress else (lambda _: None),
            on_begin=advance.expect,
        )
    if found.error:
        raise (VideoError if Path(path).exists() else FileNotFoundError)(found.error)
    return found


class WindowScorer:
    """A network, prepared to score the windows of any number of videos.

    Args:
        model: A network from `from_checkpoint`; moved to `device` and put in eval mode.
        settings: Which windows and views.
        inference: The arithmetic. In bfloat16 no window is compared with float32: `predict` says how far scores move.
        device: Where the network runs.

    Attributes:
        class_names: One name a class; indices as text where the network's card has none.
    """

    def __init__(
        self, model: VideoResNet, settings: WindowSettings, *, inference: Inference, device: torch.device
    ) -> None:
        card = card_of(model)
        self._settings = settings
        self._preprocessing = card.preprocessing
        self._multi_label = card.multi_label
        self._device = device
        self._network, _ = for_inference(model, inference.on(device))
        self._network.to(device).eval()
        self.class_names = list(card.class_names or map(str, range(model.num_classes)))

    def sections(self, source: VideoSource) -> Sections:
        """The windows of a video.

        Raises:
            VideoError: A window is shorter than a clip there, or it does not say when its frames are shown.
        """
        s = self._settings
        seconds = np.array([source.seconds(frame) for frame in range(source.num_frames)])
        duration = source.duration_seconds
        try:
            return Sections(
                seconds, duration=duration, window=s.window, step=s.step, clip=s.clip, num_clips=s.num_clips
            )
        except ValueError as error:
            raise VideoError(f"{source.path}: {error}") from error

    def windows(self, source: VideoSource, sections: Sections) -> Iterator[ScoredWindow]:
        """Score one window after the other, each when its last frame came.

        Of the frames only those are kept that a clip still needs: never more than one clip spans.

        Raises:
            VideoError: The video breaks off; the windows before were given.
            NonFiniteError: A score is NaN or infinite.
        """
        frames: dict[int, torch.Tensor] = {}  # (H, W, 3), the short side scaled
        coming = iter(sections)
        following = next(coming, None)
        begun: deque[_Begun] = deque()
        for number, frame_HWC in source.in_order(sections.needed(), short_side=self._preprocessing.short_side):
            frames[number] = frame_HWC
            while following is not None and following.clips[0][0] <= number:
                begun.append(_Begun(following))
                following = next(coming, None)
            for window in begun:
                for clip in window.due(number):
                    window.add(self._clip_scores(frames, clip, path=source.path))
            while begun and not begun[0].left:
                yield begun.popleft().scored()
            first_needed = min((window.first_needed for window in begun if window.left), default=number + 1)
            for old in [kept for kept in frames if kept < first_needed]:
                del frames[old]

    def timeline_of(
        self,
        entry: VideoEntry,
        *,
        on_window: Callable[[ScoredWindow], object] = lambda _: None,
        on_begin: Callable[[int], object] = lambda _: None,
    ) -> Timeline:
        """The timeline of a listed video; what cannot be read is its `error`.

        Args:
            entry: The video.
            on_window: Called with each window when it is scored.
            on_begin: Called once with the number of windows to come.
        """
        windows: list[ScoredWindow] = []
        try:
            with open_source(entry) as source:
                sections = self.sections(source)
                on_begin(len(sections))
                for scored in self.windows(source, sections):
                    windows.append(scored)
                    on_window(scored)
        except (VideoError, FileNotFoundError) as error:
            return Timeline(str(entry.path), self.class_names, windows, str(error))
        return Timeline(str(entry.path), self.class_names, windows)

    @torch.inference_mode()
    def _clip_scores(self, frames: dict[int, torch.Tensor], clip: Sequence[int], *, path: Path) -> torch.Tensor:
        """(classes,) float64, averaged over the clip's crops."""
        p = self._preprocessing
        views = cut_views(
            torch.stack([frames[number] for number in clip]),
            crops=self._settings.crops,
            short_side=p.short_side,
            crop=p.crop,
        )
        scores = view_scores(
            self._network,
            views,
            partial(normalise, mean=p.mean, std=p.std, bgr=p.bgr),
            device=self._device,
            at_once=views_at_once(self._device),
            multi_label=self._multi_label,
            video=str(path),
        )
        return scores.mean(dim=0)


@dataclass
class _Begun:
    """A window of which frames have come."""

    section: Section
    sums: torch.Tensor | None = None
    left: deque[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.left = deque(self.section.clips)

    @property
    def first_needed(self) -> int:
        """The first frame that a clip still needs; clips are in order, a looped one begins with its first frame."""
        return min(self.left[0])

    def due(self, number: int) -> Iterator[list[int]]:
        """The clips whose last frame has come with this one."""
        while self.left and max(self.left[0]) <= number:
            yield self.left.popleft()

    def add(self, scores: torch.Tensor) -> None:
        self.sums = scores if self.sums is None else self.sums + scores

    def scored(self) -> ScoredWindow:
        assert self.sums is not None
        section = self.section
        return ScoredWindow(section.start, section.end, (self.sums / len(section.clips)).float())
