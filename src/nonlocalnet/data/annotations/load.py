"""The one door through which every list of labelled videos comes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from nonlocalnet.data.annotations import (
    charades,
    charades_frames,
    class_folders,
    files,
    hmdb51,
    kinetics,
    path_csv,
    path_lists,
    ucf101,
)
from nonlocalnet.data.annotations.class_names import CLASS_NAMES_FILE, class_names_of
from nonlocalnet.data.annotations.entries import UNLABELLED, Asked, Found, Read, VideoEntry, VideoList, multi_hot
from nonlocalnet.data.annotations.text import header_of, read_lines

AnnotationFormat = Literal[
    "class_folders",
    "path_list",
    "frame_list",
    "path_csv",
    "kinetics",
    "ucf101",
    "hmdb51",
    "charades",
    "charades_frames",
]
# Multi-label whatever the caller says; others only where he does.
_MULTI_LABEL = frozenset({"charades", "charades_frames"})
# The list names files; in the others they are looked for, or are the source itself.
_NAMES_PATHS = frozenset({"path_list", "frame_list", "path_csv", "ucf101", "hmdb51", "charades_frames"})
# One file that is one list, read from its lines.
_FROM_LINES = {
    "path_list": path_lists.read_videos,
    "frame_list": path_lists.read_frames,
    "path_csv": path_csv.read,
    "kinetics": kinetics.read,
    "ucf101": ucf101.read,
    "charades": charades.read,
    "charades_frames": charades_frames.read,
}


def load_video_list(
    source: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
    classes: str | os.PathLike[str] | Sequence[str] | None = None,
    multi_label: bool | None = None,
    format: AnnotationFormat | None = None,  # noqa: A002  the field's word
    check_files: bool = True,
) -> VideoList:
    """Read the videos of one split, whatever the format (see `recognise`, and each format's file for its exact form).

    A file `classes.txt` (one name a line, in the order of the indices) beside a list gives the class names. A listed
    file that is missing is also looked for with the suffix .mp4, as `nonlocalnet data prepare` writes it; and where
    none of the first files is there, leading folders that the root does not have are left out of the list's paths.

    Args:
        source: The folder or the list.
        root: Folder that relative paths in a list start from, and in which Kinetics' and Charades' files are looked
            for; without it the list's own folder.
        num_classes: Number of classes of the model. Every label must be below it, and class names, where there are any,
            must be as many.
        classes: Class names, or a file of them, in place of the `classes.txt` beside a list. For a folder the names of
            its subfolders must be among them, and their order gives the indices.
        multi_label: Whether labels are multi-hot vectors; None: those of Charades are, others are not.
        format: None to recognise it.
        check_files: Refuse a list that names missing files. Without it they are found out when they are read.

    Returns:
        The videos, with absolute or root-relative paths as the list gives them. Multi-label vectors have as many
        elements as `num_classes`, else as there are class names (157 for Charades), else as the highest label needs.

    Raises:
        FileNotFoundError: `source` does not exist, or files of a list are missing (counted, the first few by name and
            line).
        ValueError: A line is malformed, a label is bad, or there is no video; the message gives the file and the line.
    """
    source = Path(source)
    lines = read_lines(source) if source.is_file() else []
    chosen = format or recognise(source, lines)
    if chosen in _MULTI_LABEL and multi_label is False:
        raise ValueError(f"{source}: Charades gives a video several labels; set multi_label")
    several = multi_label if multi_label is not None else chosen in _MULTI_LABEL
    beside = source.parent / CLASS_NAMES_FILE
    if classes is None and source.is_file() and beside.is_file():
        classes = beside
    asked = Asked(source, Path(root) if root is not None else source.parent, class_names_of(classes), several)
    read = _read(chosen, asked, lines)
    videos = read.videos
    if chosen in _NAMES_PATHS:
        videos = files.locate(videos, root=asked.root, source=source)
    if check_files and chosen != "class_folders":
        files.check(videos, source)
    names = read.class_names or asked.class_names
    _check_labels(videos, source, names=names, num_classes=num_classes)
    width = None
    if several:
        highest = max((label for video in videos for label in video.labels), default=0)
        published = charades.NUM_CLASSES if chosen in _MULTI_LABEL else 0
        width = num_classes or (len(names) if names else max(published, highest + 1))
    return VideoList(tuple(_entry(video, width) for video in videos), names, str(source), chosen)


def recognise(source: Path, lines: Sequence[str]) -> AnnotationFormat:
    """Tell a source's format by what it is, by its first line, or by its name.

    | what is seen | format |
    |---|---|
    | a folder | `class_folders` |
    | `FOLDER/train_split1` or `test_split1`, where FOLDER holds `*_test_split1.txt` | `hmdb51` |
    | `trainlist01.txt` or the like with `classInd.txt` beside it | `ucf101` |
    | a csv header with `youtube_id` | `kinetics` |
    | a csv header with `id` and `actions` | `charades` |
    | a first line that starts with `original_vido_id` | `charades_frames` |
    | a csv header with `path` and `label` | `path_csv` |
    | a first line of a name without a video's suffix and two integers or more | `frame_list` |
    | any other file | `path_list` |

    The last two differ by the suffix alone: a list of video files without suffix and of several labels needs
    `format="path_list"`.

    Args:
        source: The folder or file.
        lines: The file's lines; none for a folder.

    Raises:
        FileNotFoundError: It does not exist.
    """
    if source.is_dir():
        return "class_folders"
    if not source.is_file():
        if hmdb51.is_part(source):
            return "hmdb51"
        raise FileNotFoundError(f"no such folder or list of videos: {source}")
    if ucf101.is_list(source):
        return "ucf101"
    header = header_of(lines)
    if kinetics.COLUMN in header:
        return "kinetics"
    if set(charades.COLUMNS) <= set(header):
        return "charades"
    if lines and lines[0].split()[:1] == [charades_frames.FIRST_COLUMN]:
        return "charades_frames"
    if {"path", "label"} <= set(header):
        return "path_csv"
    first = next((line for line in lines if line.strip()), "")
    return "frame_list" if path_lists.looks_like_frames(first) else "path_list"


def _read(chosen: AnnotationFormat, asked: Asked, lines: Sequence[str]) -> Read:
    if chosen not in get_args(AnnotationFormat):
        raise ValueError(f"format must be one of {', '.join(get_args(AnnotationFormat))}, got {chosen!r}")
    if chosen == "hmdb51":
        return hmdb51.read(asked)
    if chosen == "class_folders":
        if not asked.source.is_dir():
            raise FileNotFoundError(f"no such folder of class folders: {asked.source}")
        return class_folders.read(asked)
    if not asked.source.is_file():
        raise FileNotFoundError(f"no such list of videos: {asked.source}")
    return _FROM_LINES[chosen](asked, lines)


def _check_labels(
    videos: Sequence[Found], source: Path, *, names: tuple[str, ...] | None, num_classes: int | None
) -> None:
    if num_classes is not None and names is not None and len(names) != num_classes:
        raise ValueError(
            f"{source}: {len(names)} classes, but num_classes is {num_classes}; set num_classes to {len(names)} or "
            f"give the matching list ({CLASS_NAMES_FILE} beside it, or `classes`, names all classes in order)"
        )
    limit = len(names) if names is not None else num_classes
    worst = max(videos, key=lambda video: max(video.labels, default=UNLABELLED))
    highest = max(worst.labels, default=UNLABELLED)
    if limit is not None and highest >= limit:
        reason = f"num_classes is {limit}" if names is None else f"there are {limit} class names"
        raise ValueError(
            f"{source}: label {highest} of {worst.path} is out of range: {reason}, so labels go from 0 to {limit - 1}"
        )


def _entry(video: Found, width: int | None) -> VideoEntry:
    single = video.labels[0] if video.labels else UNLABELLED
    label = single if width is None else multi_hot(video.labels, width)
    return VideoEntry(video.path, label, video.actions, video.frames, video.fps, video.lines)
