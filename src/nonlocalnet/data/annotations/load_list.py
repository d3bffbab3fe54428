"""The one door through which every list of labelled videos comes."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from nonlocalnet.data.annotations import class_folders, locate
from nonlocalnet.data.annotations.class_names import CLASS_NAMES_FILE, class_names_of, read_class_names
from nonlocalnet.data.annotations.entries import (
    SEVERAL_LABELS,
    UNLABELLED,
    VIDEOS,
    Found,
    ListFormat,
    ListRequest,
    Media,
    VideoEntry,
    VideoList,
    multi_hot,
)
from nonlocalnet.data.annotations.lines import read_lines
from nonlocalnet.data.annotations.list_formats import FORMAT_NAMES, LIST_FORMATS
from nonlocalnet.system.visible import cut, quoted

log = logging.getLogger(__name__)


def load_video_list(
    source: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
    classes: str | os.PathLike[str] | Sequence[str] | None = None,
    multi_label: bool | None = None,
    format: str | None = None,  # noqa: A002  the field's word
    check_files: bool = True,
    media: Media = VIDEOS,
) -> VideoList:
    """Read the videos of one split, whatever the format (each format's file says its exact form).

    Lists of other labelled files, such as sounds, come through here too, as `media` says.

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
        format: One of `FORMAT_NAMES`; None to recognise it.
        check_files: Refuse a list that names missing files. Without it they are found out when they are read.
        media: What the files are.

    Returns:
        The videos, with absolute or root-relative paths as the list gives them. Multi-label vectors have as many
        elements as `num_classes`, else as there are class names (157 for Charades), else as the highest label needs.

    Raises:
        FileNotFoundError: `source` does not exist, or files of a list are missing (counted, the first few by name and
            line).
        ValueError: A line is malformed, a label is bad, or there is no video; the message gives the file and the line.
    """
    source = Path(source)
    lines = [] if source.is_dir() or not source.exists() else read_lines(source)
    chosen = _named(format or recognise(source, lines, media))
    several = multi_label if multi_label is not None else chosen.multi_label_classes is not None
    if chosen.multi_label_classes is not None and not several:
        raise ValueError(f"{source}: a list of Charades, and {SEVERAL_LABELS}")
    if not chosen.is_source(source):
        raise FileNotFoundError(f"no such {chosen.source}: {source}")
    beside = source.parent / CLASS_NAMES_FILE
    if classes is None and source.is_file() and beside.is_file():
        classes = beside
    folder = Path(root) if root is not None else source.parent
    if folder.is_file():
        raise ValueError(f"root must be the folder that the paths of {source} start from, got the file {cut(folder)}")
    request = ListRequest(source, folder, class_names_of(classes), several, media)
    videos, own_names = chosen.read(request, lines)
    if chosen.names_paths:
        videos = locate.locate(videos, root=request.root, source=source, media=media)
    if check_files and not source.is_dir():
        locate.check(videos, source, media)
    names = own_names or request.class_names
    if not several:
        _say_disagreement(videos, source)
    _check_labels(videos, source, chosen, names=names, num_classes=num_classes)
    width = None
    if several:
        highest = max((label for video in videos for label in video.labels), default=0)
        width = num_classes or (len(names) if names else max(chosen.multi_label_classes or 0, highest + 1))
    return VideoList(tuple(_entry(video, width) for video in videos), names, str(source), chosen.name)


def class_names_at(source: str | os.PathLike[str]) -> tuple[str, ...] | None:
    """The classes of a folder of class folders, or of the `classes.txt` beside a list; None where neither says."""
    source = Path(source)
    if source.is_dir():
        return class_folders.folder_names(source) or None
    beside = source.parent / CLASS_NAMES_FILE
    return read_class_names(beside) if source.is_file() and beside.is_file() else None


def recognise(source: Path, lines: Sequence[str], media: Media = VIDEOS) -> str:
    """The name of a source's format, told by what it is, by its first line, or by its name (see `LIST_FORMATS`).

    Args:
        source: The folder or file.
        lines: The file's lines; none for a folder.
        media: What the files are; some are listed in a few of the formats only.

    Raises:
        FileNotFoundError: It does not exist.
    """
    asked = [known for known in reversed(LIST_FORMATS) if media.formats is None or known.name in media.formats]
    found = next((known for known in asked if known.recognises(source, lines)), None)
    if found is None:
        raise FileNotFoundError(f"no such folder or list of {media.name}s: {source}")
    return found.name


def _named(name: str) -> ListFormat:
    if name not in FORMAT_NAMES:
        raise ValueError(f"format must be one of {', '.join(FORMAT_NAMES)}, got {quoted(name)}")
    return LIST_FORMATS[FORMAT_NAMES.index(name)]


def _say_disagreement(videos: Sequence[Found], source: Path) -> None:
    """Warn of a video that stands there with different labels: it cannot be right twice."""
    known: dict[Path, Found] = {}
    for video in videos:
        first = known.setdefault(video.path, video)
        # Of one folder of frames a list may name several parts.
        if first.labels != video.labels and first.lines and video.lines and video.frames is None:
            log.warning(
                "%s: %s has label %s in line %d and %s in line %d; %s",
                *(source, cut(video.path), *first.labels, first.lines[-1], *video.labels, video.lines[-1]),
                SEVERAL_LABELS,
            )
            return


def _check_labels(
    videos: Sequence[Found],
    source: Path,
    chosen: ListFormat,
    *,
    names: tuple[str, ...] | None,
    num_classes: int | None,
) -> None:
    known = chosen.multi_label_classes
    if num_classes is not None and names is not None and len(names) != num_classes:
        raise ValueError(
            f"{source}: {len(names)} classes, but num_classes is {num_classes}; set num_classes to {len(names)} or "
            f"give the matching list ({CLASS_NAMES_FILE} beside it, or `classes`, names all classes in order)"
        )
    limit = len(names) if names is not None else num_classes or known
    worst = max(videos, key=lambda video: max(video.labels, default=UNLABELLED))
    highest = max(worst.labels, default=UNLABELLED)
    if limit is not None and highest >= limit:
        if names is not None:
            reason = f"there are {limit} class names"
        else:
            reason = f"num_classes is {limit}" if num_classes else f"{chosen.name} lists have {limit} classes"
        place = f", line {worst.lines[-1]}" if worst.lines else ""
        raise ValueError(
            f"{source}{place}: label {highest} of {cut(worst.path)} is out of range: {reason}, so labels go from 0 to "
            f"{limit - 1}"
        )


def _entry(video: Found, width: int | None) -> VideoEntry:
    single = video.labels[0] if video.labels else UNLABELLED
    label = single if width is None else multi_hot(video.labels, width)
    return VideoEntry(video.path, label, video.actions, video.frames, video.fps, video.lines)
