"""The scores of a test on disk, from which its metrics can be computed again and models be averaged.

scores.safetensors holds, for V videos and K classes,

    mean        (V, K) float64   scores averaged over each video's views
    highest     (V, K) float64   the maximum over the views
    label       (V,) int64       class index, -1 where unknown; or (V, K) uint8, where a video may have several
    readable    (V,) uint8       0 where the video could not be read; its scores are 0

and as metadata, in JSON, "paths" (of the videos, in order), "errors" (why unreadable ones could not be read),
"class_names" and "about" (what was tested and how).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import torch

from nonlocalnet.runs.video.results.summary import label_tensor
from nonlocalnet.runs.video.score_videos import VideoScores
from nonlocalnet.system.media import refuse_media
from nonlocalnet.system.odd_files import one_sentence, require_file
from nonlocalnet.system.tensor_file import pack, unpack

SCORES_FILE = "scores.safetensors"
_FORMAT = "nonlocalnet scores 1"


@dataclass(frozen=True)
class ScoredVideos:
    """The scores of a list of videos.

    Attributes:
        results: One entry a video, in the list's order.
        paths: Path of each video.
        class_names: Name of each class.
        about: What was tested and how, plain entries.
    """

    results: list[VideoScores]
    paths: list[str]
    class_names: list[str]
    about: dict[str, Any]

    def keys(self) -> list[str]:
        """What tells the videos apart on any machine: their paths below the folder of the videos."""
        about = self.about
        while "ensemble" in about:  # it has the paths of its first test
            about = about["ensemble"][0]
        root = about.get("recipe", {}).get("data", {}).get("root")
        below = [PurePath(path) for path in self.paths]
        return [str(p.relative_to(root)) if root and p.is_relative_to(root) else str(p) for p in below]


def pack_scores(scored: ScoredVideos) -> bytes:
    """The content of scores.safetensors."""
    results = scored.results
    labels = label_tensor(results)
    tensors = {
        "mean": torch.stack([result.mean for result in results]),
        "highest": torch.stack([result.highest for result in results]),
        "label": labels if labels.ndim == 1 else (labels > 0).to(torch.uint8),
        "readable": torch.tensor([not result.error for result in results], dtype=torch.uint8),
    }
    metadata = {
        "format": _FORMAT,
        "paths": json.dumps(scored.paths),
        "errors": json.dumps([result.error for result in results]),
        "class_names": json.dumps(scored.class_names),
        "about": json.dumps(scored.about),
    }
    return pack(tensors, metadata)


def load_scores(path: str | Path) -> ScoredVideos:
    """Read the scores of a test.

    Args:
        path: scores.safetensors, or the folder it stands in.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a file of scores.
    """
    path = Path(path)
    file = path / SCORES_FILE if path.is_dir() else path
    if not file.exists():
        raise FileNotFoundError(f"no scores at {path}: give the --out folder of a `nonlocalnet test`, or {SCORES_FILE}")
    require_file(file)
    refuse_media(file, expected="a test's file of scores")
    tensors, metadata = unpack(file)
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{file} holds no scores of this library: its format is {metadata.get('format')!r}")
    with one_sentence(file):
        errors = json.loads(metadata["errors"])
        rows = zip(tensors["label"], tensors["mean"], tensors["highest"], errors, strict=True)
        results = [
            VideoScores(index, int(label) if label.ndim == 0 else label, mean, highest, error)
            for index, (label, mean, highest, error) in enumerate(rows)
        ]
        kept = (json.loads(metadata[name]) for name in ("paths", "class_names", "about"))
        return ScoredVideos(results, *kept)


def average_scores(parts: Sequence[ScoredVideos], *, sources: Sequence[str]) -> ScoredVideos:
    """Average the scores of several tests of the same videos.

    Args:
        parts: At least one. The order of the first is kept; where only some could read a video, those count.
        sources: Where each came from, for messages and `about`.

    Raises:
        ValueError: If they do not score the same videos with the same labels and classes.
    """
    first, keys = parts[0], parts[0].keys()
    aligned = [first.results]
    for part, source in zip(parts[1:], sources[1:], strict=True):
        _require_same(first.class_names, part.class_names, f"class names of {sources[0]} and {source}")
        by_key = dict(zip(part.keys(), part.results, strict=True))
        missing = [key for key in keys if key not in by_key]
        extra = sorted(set(by_key) - set(keys))
        if missing or extra:
            only, count = (sources[0], len(missing)) if missing else (source, len(extra))
            raise ValueError(
                f"{sources[0]} and {source} do not score the same videos: {count} are in {only} alone, "
                f"the first {(missing or extra)[0]}"
            )
        aligned.append([by_key[key] for key in keys])
    results = []
    for index, group in enumerate(zip(*aligned, strict=True)):
        for result, source in zip(group, sources, strict=True):
            _require_same(_plain(group[0].label), _plain(result.label), f"labels of {keys[index]} by {source}")
        readable = [result for result in group if not result.error]
        counted = readable or list(group)
        mean, highest = (
            torch.stack([getattr(result, name) for result in counted]).mean(dim=0) for name in ("mean", "highest")
        )
        results.append(VideoScores(index, group[0].label, mean, highest, "" if readable else group[0].error))
    about = {"ensemble": [{"scores": s, **part.about} for s, part in zip(sources, parts, strict=True)]}
    return ScoredVideos(results, first.paths, first.class_names, about)


def _plain(label: int | torch.Tensor) -> Any:
    return label.tolist() if isinstance(label, torch.Tensor) else label


def _require_same(one: Any, other: Any, what: str) -> None:
    if one != other:
        raise ValueError(f"the {what} differ: only tests of the same list, read with the same classes, can be averaged")
