"""Lists of labelled sounds: class folders, a csv of `path,label`, or `path label` lines, as those of videos are."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nonlocalnet.data.annotations import Media, load_video_list

SOUND_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".au", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma"}
)
SOUNDS = Media("sound", SOUND_SUFFIXES, ".wav", formats=("class_folders", "path_list", "path_csv"))


class SoundEntry(NamedTuple):
    """One sound and its class index."""

    path: Path
    label: int


class SoundList(NamedTuple):
    """The sounds of one split.

    Attributes:
        entries: At least one sound, in the list's order.
        class_names: Name of each class index, or None where the source has no names.
        source: Where the list came from, for messages.
    """

    entries: tuple[SoundEntry, ...]
    class_names: tuple[str, ...] | None
    source: str


def load_sound_list(
    source: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
    classes: str | os.PathLike[str] | Sequence[str] | None = None,
    check_files: bool = True,
) -> SoundList:
    """Read the sounds of one split: a folder of class folders, or a list.

    The header of a csv may say `audio`, `wav`, `file` and the like for `path`. Files listed may be videos: their sound
    is read. Class folders give the files with a suffix of `SOUND_SUFFIXES`.

    Args:
        source: The folder or the list.
        root: Folder that relative paths in a list start from; without it the list's own folder.
        num_classes: Number of classes of the model: every label must be below it, and there must be as many names.
        classes: Class names, or a file of them, in place of the `classes.txt` beside a list.
        check_files: Refuse a list that names missing files.

    Raises:
        FileNotFoundError: `source` does not exist, or files of a list are missing.
        ValueError: A line is malformed, a label is bad, or there is no sound; the message gives the file and the line.
    """
    found = load_video_list(
        source,
        root=root,
        num_classes=num_classes,
        classes=classes,
        multi_label=False,
        check_files=check_files,
        media=SOUNDS,
    )
    entries = tuple(SoundEntry(entry.path, int(entry.label)) for entry in found.entries)
    return SoundList(entries, found.class_names, found.source)
