"""The videos that a user names: files, folders, patterns and lists."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nonlocalnet.data.annotations import UNLABELLED, VIDEO_SUFFIXES, VideoEntry, VideoList, load_video_list
from nonlocalnet.data.annotations.hmdb51 import is_part
from nonlocalnet.data.annotations.lines import read_lines, unquoted

log = logging.getLogger(__name__)

_LOOKED_AT = 4096  # bytes of a file that may be a list; every container of videos has zero bytes or no UTF-8 in them


@dataclass(frozen=True)
class GivenVideo:
    """A video that was named.

    Attributes:
        entry: Where its frames come from.
        label: What its list says is seen, by name where the list has names; several are parted by "; ". Empty where it
            comes from no list.
    """

    entry: VideoEntry
    label: str = ""


def find_given(
    given: Sequence[str | os.PathLike[str]],
    *,
    class_names: Sequence[str] | None = None,
    multi_label: bool = False,
    root: str | os.PathLike[str] | None = None,
) -> list[GivenVideo]:
    """The videos that are meant, each once, in the order given.

    - A file is a video, or, where it holds text, a list: of any form that `load_video_list` reads, or of paths alone.
    - Of a folder, all files in it and below it that have the suffix of a video, by name; hidden ones are left out.
    - A pattern (`*`, `?`, `[...]`, and `**` for any folders) is what it matches: videos and folders, or if there are
      none, whatever there is.
    - What does not exist is handed on as a video, so that reading it says so.

    Args:
        given: Files, folders, patterns and lists.
        class_names: Names for the labels of lists that have none themselves: those of the network.
        multi_label: Whether a video of a list may have several labels.
        root: Folder that relative paths in a list start from; None for the list's own folder.

    Raises:
        ValueError: A folder holds no video, a pattern matches nothing, a list is malformed, or there is a `root` and no
            list.
    """
    found: dict[tuple[object, ...], GivenVideo] = {}
    named = lists = 0

    def read_list(path: Path) -> VideoList:
        nonlocal lists
        lists += 1
        if _is_json(path):
            raise ValueError(f"{path} holds JSON: it is neither a video nor a list of videos in a form that is known")
        try:
            if all(_is_video(unquoted(line.strip())) for line in read_lines(path) if line.strip()):
                return load_video_list(path, root=root, multi_label=True, format="path_list", check_files=False)
            return load_video_list(path, root=root, multi_label=multi_label or None, check_files=False)
        except ValueError as error:
            raise ValueError(f"{error}; it was read as a list of videos, since it holds text") from None

    for one in given:
        if not str(one):
            raise ValueError("the name of a video is empty; the current folder is '.'")
        for video in _meant_by(str(one), read_list, class_names):
            named += 1
            found.setdefault(identity(video.entry), video)
    if root is not None and not lists:
        raise ValueError("root (--root) has no effect: it is for lists of videos, of which none is given")
    if named > len(found):
        log.info("%d videos are named more than once and are read once", named - len(found))
    return list(found.values())


def identity(entry: VideoEntry) -> tuple[object, ...]:
    """What two entries of the same frames have in common."""
    return (os.path.abspath(entry.path), entry.frames, entry.fps)  # noqa: PTH100  resolve() follows links


def _meant_by(
    text: str, read_list: Callable[[Path], VideoList], class_names: Sequence[str] | None
) -> Iterator[GivenVideo]:
    path = Path(text)
    if path.is_dir():
        yield from (GivenVideo(VideoEntry(file, UNLABELLED)) for file in _in_folder(path))
    elif _is_list(path):
        yield from _listed(read_list(path), class_names)
    elif not os.path.lexists(path) and glob.has_magic(text):
        for match in _matched(text):
            yield from _meant_by(match, read_list, class_names)
    else:
        yield GivenVideo(VideoEntry(path, UNLABELLED))


def _in_folder(folder: Path) -> list[Path]:
    found = []
    for above, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(above, name) for name in sorted(files) if _is_video(name) and not name.startswith(".")]
    if not found:
        known = " ".join(sorted(VIDEO_SUFFIXES))
        raise ValueError(f"{folder}: no videos in this folder or below it; files of these suffixes are taken: {known}")
    return found


def _matched(pattern: str) -> list[str]:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  Path.glob takes no absolute pattern
    if not matches:
        raise ValueError(f"{pattern}: no file matches this pattern")
    videos = [match for match in matches if _is_video(match)]
    # Of `clips/**` the folders are matched too: their videos are among the files already, or meant by the folder.
    return videos or [match for match in matches if Path(match).is_dir()] or matches


def _is_video(name: str) -> bool:
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def _is_list(path: Path) -> bool:
    """Whether a path is a list: a file of text that is not named as a video, or the name of a part of HMDB51."""
    if _is_video(path.name):
        return False
    if not path.is_file():
        return not os.path.lexists(path) and is_part(path)
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    try:
        text = start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        text = "" if error.start < len(start) - 3 else start[: error.start].decode("utf-8-sig")
    return bool(text.strip()) and "\0" not in text


def _is_json(path: Path) -> bool:
    """Whether a file of text begins as JSON does: no list of videos has an object or an array for its first line."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT).removeprefix(b"\xef\xbb\xbf").lstrip()
    return re.match(rb'\{\s*["}]|\[\s*[\[{"\]]', start) is not None


def _listed(videos: VideoList, class_names: Sequence[str] | None) -> Iterator[GivenVideo]:
    names = videos.class_names or class_names
    for entry in videos.entries:
        label = entry.label
        indices = [label] if isinstance(label, int) else label.nonzero().flatten().tolist()
        known = [i for i in indices if i != UNLABELLED]
        shown = "; ".join(names[i] if names is not None and i < len(names) else str(i) for i in known)
        yield GivenVideo(entry, shown)
