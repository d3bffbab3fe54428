"""A folder of class folders: `root/class name/video.mp4`, and so for sounds and texts.

Class names are the folders' names (spaces are kept) in sorted order. Where names are given, their order gives the
indices, and a folder may be written with `_` for spaces (Kinetics as many tools unpack it).
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from nonlocalnet.data.annotations.class_names import index_by_name
from nonlocalnet.data.annotations.entries import Found, ListFormat, ListRequest, Media, Read
from nonlocalnet.system.visible import cut, quoted

log = logging.getLogger(__name__)


def folder_names(folder: Path) -> tuple[str, ...]:
    """The names of the class folders, sorted."""
    return tuple(sorted(e.name for e in folder.iterdir() if e.is_dir() and not e.name.startswith(".")))


def read(request: ListRequest, _lines: Sequence[str]) -> Read:
    """Read the videos of every class folder, sorted by name.

    Raises:
        ValueError: There is no video, or a folder is none of the given classes.
    """
    folder = request.source
    folders = folder_names(folder)
    names = request.class_names or folders
    index_of = index_by_name(names)
    strange = next((name for name in folders if name not in index_of), None)
    if strange is not None:
        raise ValueError(f"{folder}: the subfolder {quoted(strange)} is not among the {len(names)} class names given")
    videos = [
        Found(path, (index_of[name],))
        for name in folders
        for path in sorted((folder / name).iterdir())
        if _is(path, request.media)
    ]
    if not videos:
        what = request.media.name
        raise ValueError(
            f"{folder}: no {what}s found; expected {folder.name}/CLASS NAME/{what}{request.media.example} "
            f"(found {len(folders)} subfolders); is it the folder of one split?"
        )
    beside = sorted(path for path in folder.iterdir() if _is(path, request.media) and not path.is_dir())
    if beside:
        what = request.media.name
        log.warning(
            "%s: %d %s%s beside the class folders %s left out, having no class, such as %s",
            *(folder, len(beside), what, "s" * (len(beside) > 1), "are" if len(beside) > 1 else "is"),
            cut(beside[0].name),
        )
    return Read(videos, names)


def _is(path: Path, media: Media) -> bool:
    return path.suffix.lower() in media.suffixes and not path.name.startswith(".")


FORMAT = ListFormat(
    "class_folders",
    recognises=lambda source, _lines: source.is_dir(),
    read=read,
    is_source=Path.is_dir,
    source="folder of class folders",
    names_paths=False,
)
