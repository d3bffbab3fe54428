"""What a list of videos comes to, whatever its format; lists of other files have some of the same formats."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

VIDEO_SUFFIXES = frozenset({".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv"})


class Media(NamedTuple):
    """What the files of a list are.

    Attributes:
        name: What errors call one of them.
        suffixes: Of the files that are taken from class folders, in lower case.
        example: A suffix, for errors.
        rewritten: Suffix under which a file that is missing may be there; None for no other than its own.
        formats: Names of the formats that such lists have; None for all.
    """

    name: str
    suffixes: frozenset[str]
    example: str
    rewritten: str | None = None
    formats: tuple[str, ...] | None = None


VIDEOS = Media("video", VIDEO_SUFFIXES, ".mp4", rewritten=".mp4")  # as `nonlocalnet data prepare` writes it
# What errors name where a video has more labels than it may.
SEVERAL_LABELS = "several labels a video need multi_label (`--multi-label`, in a recipe model.multi_label)"
# The label of a video whose class is not known, as in the published test list of Kinetics-600.
UNLABELLED = -1


class Action(NamedTuple):
    """A class that is seen during a part of a video.

    Attributes:
        label: Class index.
        start: Seconds from the video's first frame.
        end: Seconds, counted in.
    """

    label: int
    start: float
    end: float


class FrameFiles(NamedTuple):
    """Extracted frames in place of a video file: numbered images in one folder.

    Attributes:
        prefix: What their names begin with.
        digits: Digits of the number that follows, zeros in front.
        suffix: What their names end with.
        first: Number of the first frame.
        total: How many there are; None to count those in the folder when they are read.
    """

    prefix: str
    digits: int
    suffix: str = ".jpg"
    first: int = 1
    total: int | None = None

    def name(self, frame: int) -> str:
        """File name of a frame, counted from 0.

        >>> FrameFiles("img_", 5).name(0)
        'img_00001.jpg'
        """
        return f"{self.prefix}{self.first + frame:0{self.digits}d}{self.suffix}"


class VideoEntry(NamedTuple):
    """One video and what is seen in it.

    Attributes:
        path: The video file, or the folder of its extracted frames.
        label: Class index, `UNLABELLED` where it is not known; of multi-label lists the multi-hot float32 (classes,).
        actions: When each class is seen, where the list says so: the labels of a clip come from them. None elsewhere.
        frames: The names of the extracted frames; None for a video file.
        fps: Frames a second at which clips count frames. A video file of another rate is sampled by time, extracted
            frames are at that rate. None for the video's own frames, one by one.
        lines: Lines of the list that speak of this video, from 1; None where the source is not one list.
    """

    path: Path
    label: int | torch.Tensor
    actions: tuple[Action, ...] | None = None
    frames: FrameFiles | None = None
    fps: float | None = None
    lines: range | None = None


class VideoList(NamedTuple):
    """The videos of one split.

    Attributes:
        entries: At least one video, in the list's order.
        class_names: Name of each class index, or None where the source has no names.
        source: Where the list came from, for messages.
        format: Which format it was read as; "" for a list made in code.
    """

    entries: tuple[VideoEntry, ...]
    class_names: tuple[str, ...] | None
    source: str
    format: str = ""


class ListRequest(NamedTuple):
    """What the caller of `load_video_list` asked for, as every format's reader receives it."""

    source: Path
    root: Path
    class_names: tuple[str, ...] | None
    multi_label: bool
    media: Media = VIDEOS


class Found(NamedTuple):
    """One video as a format's reader hands it over: class indices not yet a label, and the file not yet looked for."""

    path: Path
    labels: tuple[int, ...]
    actions: tuple[Action, ...] | None = None
    frames: FrameFiles | None = None
    fps: float | None = None
    lines: range | None = None


class Read(NamedTuple):
    """What a format's reader returns: the videos, and the class names where it knows them."""

    videos: list[Found]
    class_names: tuple[str, ...] | None


@dataclass(frozen=True)
class ListFormat:
    """One form in which users have lists of videos.

    Attributes:
        name: What users call it.
        recognises: Whether a source is of this form, from its path and its lines (none for a folder). The last of
            `LIST_FORMATS` is asked first.
        read: Reads a source, from what was asked for and its lines.
        is_source: Whether a path is there at all; without it the source must be a file.
        source: What a source is, for the error on one that is not there.
        names_paths: Whether the list names files. In other formats they are looked for, or are the source itself.
        multi_label_classes: Classes as published, where a video has several labels whatever the caller says; None where
            it has them only if the caller says so.
    """

    name: str
    recognises: Callable[[Path, Sequence[str]], bool]
    read: Callable[[ListRequest, Sequence[str]], Read]
    is_source: Callable[[Path], bool] = Path.is_file
    source: str = "list of videos"
    names_paths: bool = True
    multi_label_classes: int | None = None


def multi_hot(labels: Iterable[int], num_classes: int) -> torch.Tensor:
    """float32 (num_classes,): 1 at the given class indices, 0 elsewhere.

    >>> multi_hot([2, 0, 2], 4)
    tensor([1., 0., 1., 0.])
    """
    target = torch.zeros(num_classes)
    target[list(labels)] = 1.0
    return target
