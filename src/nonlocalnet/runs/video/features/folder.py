"""A folder of features: a file a video, an index of them, and the settings that they all were made with.

    settings.json     what decides the numbers, the weights' digest included
    index.jsonl       a line a video, written when its file is whole
    NAME-HASH.npy     the features of one video

A run that was ended at any moment goes on with the videos that the index does not have.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nonlocalnet.data.annotations import VideoEntry
from nonlocalnet.data.annotations.given import Given, identity
from nonlocalnet.formats import card_of
from nonlocalnet.models import VideoResNet
from nonlocalnet.runs.video.features.extract import FeatureSettings, VideoFeatures
from nonlocalnet.system.files import append_line, is_partial_of, make_folder, write_atomically
from nonlocalnet.system.folder_lock import hold_folder, release_folder
from nonlocalnet.system.odd_files import parse_json
from nonlocalnet.system.tensor_file import digest_of, pack
from nonlocalnet.system.visible import cut

Format = Literal["npy", "safetensors"]
SETTINGS_FILE = "settings.json"
INDEX_FILE = "index.jsonl"

_BYTES_OF_A_NUMBER = 4  # float32
_LONGEST_STEM = 40  # characters: with the rest fewer bytes than any file system allows in a name


class FeatureFolder:
    """A folder that is held by this process; from `open_folder`.

    Args:
        folder: The folder.
        file_format: Of its files.
        rows: What its index has, by key.
    """

    def __init__(self, folder: Path, file_format: Format, rows: dict[str, dict[str, Any]]) -> None:
        self._folder = folder
        self._file_format: Format = file_format
        self._rows = rows

    @property
    def index(self) -> Path | None:
        """The index; None where nothing was ever written."""
        return self._folder / INDEX_FILE if self._rows else None

    def has(self, entry: VideoEntry) -> bool:
        """Whether the features of a video are there, and it was not changed since."""
        key = key_of(entry, self._file_format)
        path = self._folder / key
        return key in self._rows and _is_newer(path, entry.path) and _is_whole(path, self._rows[key])

    def add(self, video: Given, made: VideoFeatures) -> str:
        """Write the features of a video, then its line of the index.

        Returns:
            The name of the file.

        Raises:
            OutputError: It cannot be written.
        """
        key = key_of(video.entry, self._file_format)
        row = {
            "file": os.path.abspath(video.entry.path),  # noqa: PTH100  resolve() follows links
            "key": key,
            "shape": list(made.features.shape),
            "seconds": [[None if math.isnan(one) else one for one in clip] for clip in made.seconds.tolist()],
            "label": video.label,
        }
        if self._rows.pop(key, None) is not None:  # of an older state of the video
            _write_index(self._folder / INDEX_FILE, self._rows)
        write_atomically(self._folder / key, _encoded(made, self._file_format))
        self._rows[key] = row
        append_line(self._folder / INDEX_FILE, json.dumps(row))
        return key


@contextmanager
def open_folder(folder: Path, settings: Mapping[str, Any], *, file_format: Format) -> Iterator[FeatureFolder]:
    """Hold a new or empty folder, or one that was begun with the same settings.

    Args:
        folder: The folder; it is made where it is not there.
        settings: From `settings_of`.
        file_format: Of its files.

    Raises:
        ValueError: It is a file, holds something else, or was begun with other settings, which are named.
        OutputError: Another process writes into it, or it cannot be made.
    """
    check_folder(folder)
    make_folder(folder)
    hold_folder(folder)
    try:
        check_folder(folder)
        _claim(folder / SETTINGS_FILE, {"format": file_format, **settings})
        yield FeatureFolder(folder, file_format, _read_index(folder))
    finally:
        release_folder(folder)


def check_folder(folder: Path) -> None:
    """Refuse what holds something else: said before the weights are read.

    Raises:
        ValueError: It is a file, or is neither empty nor a folder of features.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} exists and is not a folder; give another one")
    marker = folder / SETTINGS_FILE
    if folder.is_dir() and not marker.is_file():
        other = sorted(path.name for path in folder.iterdir() if not is_partial_of(path, marker))
        if other:
            raise ValueError(
                f"{folder} exists and is not empty (it holds {other[0]}); give a new or empty folder, or one that "
                "`nonlocalnet features` has begun"
            )


def settings_of(model: VideoResNet, settings: FeatureSettings, *, bf16: bool) -> dict[str, Any]:
    """What decides the numbers in a folder, by names that a user knows."""
    card = card_of(model)
    preprocessing = dataclasses.asdict(card.preprocessing)
    for name in ("clip_frames", "frame_stride"):
        del preprocessing[name]  # `clip` says it
    graph = {"architecture": card.architecture, "arguments": json.dumps(card.arguments, sort_keys=True)}
    return {
        "level": settings.level,
        "clip": f"{settings.clip.frames}x{settings.clip.stride}",
        "clips": settings.num_clips,
        "crops": settings.crops,
        "bf16": bf16,
        **preprocessing,
        "weights": digest_of(model.state_dict(), graph),
    }


def key_of(entry: VideoEntry, file_format: Format) -> str:
    """The name of a video's file: its own name, and 64 bits of a hash of where its frames come from.

    Two videos of one name in two folders have two, and so has one video that is sampled at two rates.
    """
    stem = re.sub(r"[^\w.-]", "_", entry.path.stem)[:_LONGEST_STEM].lstrip(".")
    return f"{stem}-{hashlib.sha256(repr(identity(entry)).encode()).hexdigest()[:16]}.{file_format}"


def _encoded(made: VideoFeatures, file_format: Format) -> bytes:
    if file_format == "safetensors":
        return pack({"features": made.features, "seconds": made.seconds}, {})
    buffer = io.BytesIO()
    np.save(buffer, made.features.numpy())
    return buffer.getvalue()


def _claim(marker: Path, asked: dict[str, Any]) -> None:
    """Write the settings, or compare them with those of the earlier run, where it came as far as any features."""
    if not marker.is_file() or _holds_nothing(marker):
        write_atomically(marker, json.dumps(asked, indent=2) + "\n")
        return
    written = _plain(marker.read_bytes())
    if not isinstance(written, dict) or written.keys() != asked.keys():
        raise ValueError(f"{marker} is not one that `nonlocalnet features` writes; give another folder")
    differing = [name for name in asked if written[name] != asked[name]]
    said = [
        "the weights are others"
        if name == "weights"
        else f"{name} was {cut(json.dumps(written[name]))}, is {json.dumps(asked[name])}"
        for name in differing
    ]
    if said:
        raise ValueError(
            f"{marker.parent} holds features that were made otherwise: {'; '.join(said)}; give the same, or another "
            "folder"
        )


def _is_whole(path: Path, row: Mapping[str, Any]) -> bool:
    """Whether a file has room for as many numbers as its line of the index says."""
    try:
        return path.stat().st_size > _BYTES_OF_A_NUMBER * math.prod(map(int, row["shape"]))
    except (KeyError, TypeError, ValueError):
        return False


def _holds_nothing(marker: Path) -> bool:
    """Whether a run of ours wrote its settings and nothing else."""
    index = marker.with_name(INDEX_FILE)
    others = (path for path in marker.parent.iterdir() if path != marker and not is_partial_of(path, marker))
    empty = all(path == index and not path.stat().st_size for path in others)
    written = _plain(marker.read_bytes())
    return empty and isinstance(written, dict) and "weights" in written


def _read_index(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows whose files are there; the last line may be a part of one, of a run that died as it wrote it."""
    path = folder / INDEX_FILE
    content = path.read_bytes() if path.is_file() else b""
    *lines, part = content.split(b"\n")
    rows: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        row = _plain(line)
        key = row.get("key") if isinstance(row, dict) else None
        if not isinstance(key, str):
            raise ValueError(f"{path}: line {number} is not one that `nonlocalnet features` writes; remove it")
        if (folder / key).is_file():
            rows[key] = row
    if part or len(rows) < len(lines):
        _write_index(path, rows)
    return rows


def _write_index(path: Path, rows: Mapping[str, Mapping[str, Any]]) -> None:
    write_atomically(path, "".join(json.dumps(row) + "\n" for row in rows.values()))


def _plain(content: bytes) -> Any:
    try:
        return parse_json(content)
    except ValueError:
        return None


def _is_newer(target: Path, source: Path) -> bool:
    try:
        return target.stat().st_mtime_ns >= source.stat().st_mtime_ns
    except OSError:  # the video is gone, or its disk; its features are not
        return True
