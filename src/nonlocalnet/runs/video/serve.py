"""A video network held ready for one video after the other."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

from nonlocalnet.data.clips.views import Crops
from nonlocalnet.explanation import Explanation
from nonlocalnet.formats import OpenedFile, card_of, load, plan_file
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models import VideoResNet
from nonlocalnet.runs.video.classes import with_class_names
from nonlocalnet.runs.video.explain import explain_video, network_words
from nonlocalnet.runs.video.inference import Inference
from nonlocalnet.runs.video.options import asked_of, parse_views, require_clip_used
from nonlocalnet.runs.video.predict import predict
from nonlocalnet.system.typed import refuse_typed

_VIEWS = "10x3"


def open_served(opened: OpenedFile, parsed: Namespace, *, device: torch.device) -> ServedVideos:
    """The network of a file of weights, ready.

    Args:
        opened: Anything that `from_checkpoint` opens.
        parsed: What `serve` takes.
        device: Where the network runs.

    Raises:
        ValueError: An option is out of range or of a detector, or the file holds no such network.
    """
    refuse_typed(parsed, ["min_score"], f"on {opened.path}: it is for detectors, and this classifies videos")
    num_clips, crops = parse_views(parsed.views or _VIEWS)
    plan = with_class_names(plan_file(opened, asked_of(parsed)), parsed.classes)
    require_clip_used(plan, asked_of(parsed))
    return ServedVideos(load(plan, strict=True)[0].to(device), num_clips, crops)


class ServedVideos:
    """A video network; `ServedNetwork` in `runs/kinds.py` says what the functions are for."""

    takes = "video"

    def __init__(self, model: VideoResNet, num_clips: int, crops: Crops) -> None:
        self._model = model
        self._num_clips = num_clips
        self._crops: Crops = crops
        card_of(model)  # says what is missing now, not at the first video
        self.has_blocks = bool(nonlocal_blocks(model))
        self.name = network_words(model) if self.has_blocks else network_words(model).removeprefix("NL ")

    def predict(self, path: Path) -> tuple[dict[str, Any], torch.Tensor | None]:
        """The most probable classes, as `nonlocalnet predict` names them, in float32."""
        found = predict(
            self._model, path, num_clips=self._num_clips, crops=self._crops, inference=Inference(bf16=False)
        )
        named = zip(found.classes, found.names, found.scores, strict=True)
        return {"classes": [{"class": i, "name": name, "probability": score} for i, name, score in named]}, None

    def explain(self, path: Path) -> Explanation:
        """Where the blocks look in the clip in the middle of the video."""
        return explain_video(self._model, path)
