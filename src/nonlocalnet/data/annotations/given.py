"""The videos, or other files, that a user names: files, folders, patterns and lists."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nonlocalnet.data.annotations import UNLABELLED, VIDEOS, Media, VideoEntry, VideoList, load_video_list
from nonlocalnet.data.annotations.hmdb51 import is_part
from nonlocalnet.data.annotations.lines import LIST_SUFFIXES, read_lines, unquoted

log = logging.getLogger(__name__)

_LOOKED_AT = 4096  # bytes of a file that may be a list; every container of videos has zero bytes or no UTF-8 in them


@dataclass(frozen=True)
class Given:
    """A video, or another file, that was named.

    Attributes:
        entry: Where it is.
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
    media: Media = VIDEOS,
) -> list[Given]:
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
        media: What the files are.

    Raises:
        ValueError: A folder holds no video, a pattern matches nothing, a list is malformed, or there is a `root` and no
            list.
    """
    found: dict[tuple[object, ...], Given] = {}
    named = lists = 0

    def read_list(path: Path) -> VideoList:
        nonlocal lists
        lists += 1
        if _is_json(path):
            raise ValueError(
                f"{path} holds JSON: it is neither a {media.name} nor a list of {media.name}s in a form that is known"
            )
        try:
            if all(_is_one(unquoted(line.strip()), media) for line in read_lines(path) if line.strip()):
                form = "path_list"
                return load_video_list(path, root=root, multi_label=True, format=form, check_files=False, media=media)
            return load_video_list(path, root=root, multi_label=multi_label or None, check_files=False, media=media)
        except ValueError as error:
            why = "is named as lists are" if path.suffix.lower() in LIST_SUFFIXES else "holds text"
            raise ValueError(f"{error}; it was read as a list of {media.name}s, since it {why}") from None

    for one in given:
        if not str(one):
            raise ValueError(f"the name of a {media.name} is empty; the current folder is '.'")
        for video in _meant_by(str(one), read_list, class_names, media):
            named += 1
            found.setdefault(identity(video.entry), video)
    if root is not None and not lists:
        raise ValueError(f"root (--root) has no effect: it is for lists of {media.name}s, of which none is given")
    if named > len(found):
        log.info("%d %ss are named more than once and are read once", named - len(found), media.name)
    return list(found.values())


def identity(entry: VideoEntry) -> tuple[object, ...]:
    """What two entries of the same frames have in common."""
    return (os.path.abspath(entry.path), entry.frames, entry.fps)  # noqa: PTH100  resolve() follows links


def _meant_by(
    text: str, read_list: Callable[[Path], VideoList], class_names: Sequence[str] | None, media: Media
) -> Iterator[Given]:
    path = Path(text)
    if path.is_dir():
        yield from (Given(VideoEntry(file, UNLABELLED)) for file in _in_folder(path, media))
    elif _is_list(path, media):
        yield from _listed(read_list(path), class_names)
    elif not os.path.lexists(path) and glob.has_magic(text):
        for match in _matched(text, media):
            yield from _meant_by(match, read_list, class_names, media)
    else:
        yield Given(VideoEntry(path, UNLABELLED))


def _in_folder(folder: Path, media: Media) -> list[Path]:
    found = []
    for above, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(above, name) for name in sorted(files) if _is_one(name, media) and not name.startswith(".")]
    if not found:
        known = " ".join(sorted(media.suffixes))
        raise ValueError(
            f"{folder}: no {media.name}s in this folder or below it; files of these suffixes are taken: {known}"
        )
    return found


def _matched(pattern: str, media: Media) -> list[str]:
    matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  Path.glob takes no absolute pattern
    if not matches:
        raise ValueError(f"{pattern}: no file matches this pattern")
    videos = [match for match in matches if _is_one(match, media)]
    # Of `clips/**` the folders are matched too: their videos are among the files already, or meant by the folder.
    return videos or [match for match in matches if Path(match).is_dir()] or matches


def _is_one(name: str, media: Media) -> bool:
    return Path(name).suffix.lower() in media.suffixes


def _is_list(path: Path, media: Media) -> bool:
    """Whether a path is a list: a file of text that is not named as a video, or the name of a part of HMDB51.

    What is named as lists are is one whatever it holds, so that reading it says what is wrong with it.
    """
    if _is_one(path.name, media):
        return False
    if not path.is_file():
        return not os.path.lexists(path) and is_part(path)
    if path.suffix.lower() in LIST_SUFFIXES:
        return True
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


def _listed(videos: VideoList, class_names: Sequence[str] | None) -> Iterator[Given]:
    names = videos.class_names or class_names
    for entry in videos.entries:
        label = entry.label
        indices = [label] if isinstance(label, int) else label.nonzero().flatten().tolist()
        known = [i for i in indices if i != UNLABELLED]
        shown = "; ".join(names[i] if names is not None and i < len(names) else str(i) for i in known)
        yield Given(entry, shown)
