"""Videos as samples of bytes: one random clip for training, all views of a video for testing."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from torch.utils.data import Dataset

from nonlocalnet.data.annotations import UNLABELLED, VideoEntry, VideoList, multi_hot
from nonlocalnet.data.clips.views import Crops, check_test_sizes, cut_views
from nonlocalnet.data.clips.windows import ClipGeometry, Positions, clips_for_testing, random_clip, require_clip_count
from nonlocalnet.data.pixels.crops import check_training_sizes, draw_crop
from nonlocalnet.data.pixels.resize import Scaling
from nonlocalnet.data.pixels.scaled_crop import draw_scaled_crop
from nonlocalnet.data.video.decoding.finish import Crop
from nonlocalnet.data.video.errors import VideoError
from nonlocalnet.data.video.sources import VideoSource, open_source

# A sample is given up after this many unreadable videos in a row: then the data set is broken, not a file.
MAX_REPLACEMENTS = 20


class TrainClip(TypedDict):
    """One training clip; `torch.utils.data.default_collate` makes batches of them.

    Attributes:
        frames: uint8 (T, crop, crop, 3).
        label: Class index of the video shown; in multi-label lists the multi-hot float32 (classes,) of the clip (see
            `clip_label`).
        index: Position in the list of the video shown.
        replaced: Whether it stands in for an unreadable one.
        error: Why the video first asked for could not be read, naming the file; "" if it could.
        note: What a user should know of the video shown, naming the file; "" if there is nothing.
    """

    frames: torch.Tensor
    label: int | torch.Tensor
    index: int
    replaced: bool
    error: str
    note: str


class VideoViews(TypedDict):
    """All views of one video.

    Attributes:
        views: uint8 (V, T, H, W, 3): the crops of the first clip, of the second, and so on. Zeros if unreadable.
        label: Class index, `UNLABELLED` where it is not known; in multi-label lists the multi-hot float32 (classes,) of
            the whole video.
        index: Position in the list.
        path: The video, as the list has it.
        error: Why the video could not be read, naming the file; "" if it could. Such a video counts as wrong.
        seconds: float64 (clips, 2): when the first and the last frame of each clip are shown, of the earliest and the
            latest where it loops; NaN where the frames have no times.
    """

    views: torch.Tensor
    label: int | torch.Tensor
    index: int
    path: str
    error: str
    seconds: torch.Tensor


class TrainVideos(Dataset[TrainClip]):
    """Random clips of videos, a function of (seed, epoch, index) alone, whatever the worker, process or resumption.

    `dataset[epoch, index]` is a clip of video `index` at random time and place. A video that cannot be read is replaced
    by a random other one, drawn from the same seed; the sample says why.

    Args:
        video_list: The videos.
        geometry: Frames and stride of a clip.
        short_side: Range of the short side in pixels (see `pixels.crops.draw_crop`).
        crop: Side of the crop in pixels.
        flip: Probability of mirroring.
        seed: Seeds every random choice; at least 0.
        as_release: Cut clips as [C2] does: `windows.random_clip` and `pixels.scaled_crop` say how that differs.

    Raises:
        ValueError: A size is out of range, or a video has no label.
    """

    def __init__(
        self,
        video_list: VideoList,
        geometry: ClipGeometry,
        *,
        short_side: tuple[int, int] = (256, 320),
        crop: int = 224,
        flip: float = 0.5,
        seed: int,
        as_release: bool = False,
    ) -> None:
        check_training_sizes(short_side=short_side, crop=crop, flip=flip)
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        if any(isinstance(entry.label, int) and entry.label == UNLABELLED for entry in video_list.entries):
            raise ValueError(f"{video_list.source}: this list has no labels, and there is nothing to train on")
        self.video_list = video_list
        self.geometry = geometry
        self.short_side = short_side
        self.crop = crop
        self.flip = flip
        self.seed = seed
        self.as_release = as_release

    def __len__(self) -> int:
        return len(self.video_list.entries)

    def __getitem__(self, key: tuple[int, int]) -> TrainClip:
        epoch, index = key
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is out of range: {len(self)} videos")
        first_error = ""
        for attempt in range(MAX_REPLACEMENTS + 1):
            generator = _generator(self.seed, epoch, index, attempt)
            shown = index if attempt == 0 else int(torch.randint(len(self), (), generator=generator))
            try:
                frames, label, note = self._clip(shown, generator)
            except (VideoError, FileNotFoundError) as error:
                first_error = first_error or str(error)
                continue
            replaced = attempt > 0
            return TrainClip(frames=frames, label=label, index=shown, replaced=replaced, error=first_error, note=note)
        raise VideoError(
            f"{self.video_list.source}: {MAX_REPLACEMENTS + 1} videos drawn one after the other cannot be read; "
            f"the first: {first_error}"
        )

    def frames_of(self, index: int, *, epoch: int) -> torch.Tensor:
        """The clip of one video, uint8 (T, crop, crop, 3), with no other one in its place.

        Raises:
            VideoError: It cannot be read.
            FileNotFoundError: There is no such file.
        """
        return self._clip(index, _generator(self.seed, epoch, index, 0))[0]

    def _clip(self, index: int, generator: torch.Generator) -> tuple[torch.Tensor, int | torch.Tensor, str]:
        """The clip, its label, and what is to be said of the file."""
        entry = self.video_list.entries[index]

        def draw(height: int, width: int) -> Crop:
            draw_one = draw_scaled_crop if self.as_release else draw_crop
            return draw_one(
                height, width, short_side=self.short_side, crop=self.crop, flip=self.flip, generator=generator
            )

        with open_source(entry) as source:
            still = source.num_frames == 1 and self.geometry.frames > 1
            repeats = f"its clips repeat it {self.geometry.frames} times"
            note = f"{entry.path}: the video has 1 frame; {repeats}" if still else ""
            frame_indices = random_clip(
                source.num_frames, self.geometry, generator=generator, as_release=self.as_release
            )
            return source.read(frame_indices, crop=draw), clip_label(entry, source, frame_indices), note


class TestVideos(Dataset[VideoViews]):
    """Videos as their test views: K clips spread over time, each cut by the same crops in space.

    Each video is decoded once, and each of its frames resized once, for all its views.

    Args:
        video_list: The videos.
        geometry: Frames and stride of a clip.
        num_clips: Clips K a video.
        positions: Where they start: "even" or "wrapped" (see `windows.clips_for_testing`).
        crops: "three", "centre" or "full" (see `views.cut_views`). "full" views differ in size between videos:
            load them with batch size 1.
        short_side: Pixels of the short side after resizing.
        crop: Side of the crops in pixels.
        scaling: How frames become smaller, and where the crops lie (see `views.cut_views`).

    Attributes:
        views_per_video: num_clips times the crops of a clip.

    Raises:
        ValueError: A number is out of range.
    """

    __test__ = False  # the name is not a pytest class

    def __init__(
        self,
        video_list: VideoList,
        geometry: ClipGeometry,
        *,
        num_clips: int = 10,
        positions: Positions = "even",
        crops: Crops = "three",
        short_side: int = 256,
        crop: int = 256,
        scaling: Scaling = "antialiased",
    ) -> None:
        check_test_sizes(crops=crops, short_side=short_side, crop=crop)
        require_clip_count(num_clips)
        self.video_list = video_list
        self.geometry = geometry
        self.num_clips = num_clips
        self.positions: Positions = positions
        self.crops: Crops = crops
        self.short_side = short_side
        self.crop = crop
        self.scaling: Scaling = scaling
        self.views_per_video = num_clips * (3 if crops == "three" else 1)

    def __len__(self) -> int:
        return len(self.video_list.entries)

    def __getitem__(self, index: int) -> VideoViews:
        entry = self.video_list.entries[index]
        error_text = ""
        try:
            with open_source(entry) as source:
                clips = clips_for_testing(
                    source.num_frames, self.geometry, num_clips=self.num_clips, positions=self.positions
                )
                needed = sorted({frame for clip in clips for frame in clip})
                frames = source.read(needed, short_side=self.short_side, scaling=self.scaling)
                seconds = clip_seconds(source, clips)
            row_of = {frame: row for row, frame in enumerate(needed)}
            rows = [[row_of[frame] for frame in clip] for clip in clips]
            views = cut_views(
                frames, rows, crops=self.crops, short_side=self.short_side, crop=self.crop, scaling=self.scaling
            )
        except (VideoError, FileNotFoundError) as error:
            error_text = str(error)
            side = self.short_side if self.crops == "full" else self.crop
            views = torch.zeros((self.views_per_video, self.geometry.frames, side, side, 3), dtype=torch.uint8)
            seconds = torch.full((self.num_clips, 2), torch.nan, dtype=torch.float64)
        return VideoViews(
            views=views, label=entry.label, index=index, path=str(entry.path), error=error_text, seconds=seconds
        )


def clip_seconds(source: VideoSource, clips: Sequence[Sequence[int]]) -> torch.Tensor:
    """When clips are shown, as `VideoViews.seconds`.

    Args:
        source: The video.
        clips: Frame indices of each.
    """
    if not source.duration_seconds:
        return torch.full((len(clips), 2), torch.nan, dtype=torch.float64)
    ends = [[source.seconds(min(clip)), source.seconds(max(clip))] for clip in clips]
    return torch.tensor(ends, dtype=torch.float64)


def clip_label(entry: VideoEntry, source: VideoSource, frame_indices: Sequence[int]) -> int | torch.Tensor:
    """What is seen in a clip: the classes whose time overlaps the time from its first frame to its last, both included.

    Frames between those of the clip count too, as in PySlowFast, which unites the labels of all frames of the window
    (the authors' code for Charades is not released). A looped clip of a short video shows all of it. Where a list does
    not say when a class is seen, a clip has the labels of its video.

    Args:
        entry: The video.
        source: Its frames.
        frame_indices: The clip's.
    """
    if entry.actions is None or isinstance(entry.label, int):
        return entry.label
    start, end = source.seconds(min(frame_indices)), source.seconds(max(frame_indices))
    seen = [action.label for action in entry.actions if action.start <= end and action.end >= start]
    return multi_hot(seen, len(entry.label))


def _generator(*key: int) -> torch.Generator:
    """A generator whose stream is a function of the key alone; different keys give unrelated streams."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
