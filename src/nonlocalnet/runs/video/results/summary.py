"""What the scores of a list of videos come to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nonlocalnet.engine.confusion import confusion_matrix
from nonlocalnet.runs.video.results.metrics import (
    average_precision,
    mean_average_precision,
    topk_correct,
)
from nonlocalnet.runs.video.score_videos import Pooling, VideoScores


@dataclass(frozen=True)
class Movement:
    """How far scores in bfloat16 are from those in float32.

    Attributes:
        videos: Videos compared.
        mean_change: Mean absolute change of a score.
        largest_change: Largest absolute change of a score.
        relative_norm: Norm of the change over the norm of the float32 scores, over all videos.
        top1_changed: Videos whose highest-scoring class is another.
    """

    videos: int
    mean_change: float
    largest_change: float
    relative_norm: float
    top1_changed: int

    def __str__(self) -> str:
        return (
            f"bfloat16 against float32 on {self.videos} videos: scores moved by {self.mean_change:.2g} on average and "
            f"{self.largest_change:.2g} at most, by {self.relative_norm:.2%} in norm; "
            f"the top-1 class changed for {self.top1_changed}"
        )


@dataclass(frozen=True)
class TestSummary:
    """What a test comes to. An unreadable video counts as wrong everywhere, and ranks last in every class.

    Attributes:
        top1: Percent of videos whose class, or one of whose classes, has the highest score.
        top5: Percent of videos whose class, or one of whose classes, is among the five highest scores.
        videos: Number of videos.
        unreadable: How many of them could not be read.
        class_videos: Videos of each class.
        class_correct: How many of them are right: the class itself has the highest score.
        confusion: (classes, classes) counts of the readable videos: row the true class, column the predicted one. None
            where a video may have several classes.
        map: Mean average precision in percent, by the pooling asked for; None where a video has one class.
        map_by_pooling: The same for "mean" and "max"; empty where a video has one class.
        class_ap: Average precision of each class in percent, None for one without positives; empty where a video has
            one class.
        arithmetic: How far bfloat16 moved the scores; None in float32.
    """

    __test__ = False  # the name is not a pytest class

    top1: float
    top5: float
    videos: int
    unreadable: int
    class_videos: list[int]
    class_correct: list[int]
    confusion: torch.Tensor | None
    map: float | None = None
    map_by_pooling: dict[str, float] | None = None
    class_ap: list[float | None] | None = None
    arithmetic: Movement | None = None

    @property
    def quality(self) -> float:
        """What a test is judged by: mAP where videos have several classes, else top-1."""
        return self.top1 if self.map is None else self.map

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers that stand in tables, by the keys of `VideoRecipe.published`."""
        return {"top1": self.top1, "top5": self.top5} if self.map is None else {"map": self.map}


def summarise_scores(results: Sequence[VideoScores], *, num_classes: int, pooling: Pooling = "mean") -> TestSummary:
    """Count right answers over all videos and by class.

    Args:
        results: Labelled videos, at least one.
        num_classes: Classes of the network.
        pooling: Which of each video's pooled scores count.
    """
    readable = torch.tensor([not result.error for result in results])
    scores = torch.stack([result.pooled(pooling) for result in results])
    labels = label_tensor(results)
    top1, top5 = (topk_correct(scores, labels, k=k) & readable for k in (1, 5))
    common: dict[str, Any] = {
        "top1": 100 * top1.double().mean().item(),
        "top5": 100 * top5.double().mean().item(),
        "videos": len(results),
        "unreadable": int((~readable).sum()),
        "arithmetic": measure_movement(results),
    }
    predicted = scores.argmax(dim=1)
    if labels.ndim == 1:
        return TestSummary(
            **common,
            class_videos=torch.bincount(labels, minlength=num_classes).tolist(),
            class_correct=torch.bincount(labels[top1], minlength=num_classes).tolist(),
            confusion=confusion_matrix(labels[readable], predicted[readable], num_classes=num_classes),
        )
    ranked = {name: _ranked_last(results, name, readable) for name in ("mean", "max")}
    maps = {name: mean_average_precision(values, labels) for name, values in ranked.items()}
    ap = (100 * average_precision(ranked[pooling], labels)).tolist()
    return TestSummary(
        **common,
        class_videos=(labels > 0).sum(dim=0).tolist(),
        class_correct=torch.bincount(predicted[top1], minlength=num_classes).tolist(),
        confusion=None,
        map=maps[pooling],
        map_by_pooling=maps,
        class_ap=[None if math.isnan(value) else value for value in ap],
    )


def label_tensor(results: Sequence[VideoScores]) -> torch.Tensor:
    """(V,) class indices, or (V, classes) of 0 and 1."""
    return torch.stack([torch.as_tensor(result.label) for result in results])


def measure_movement(results: Sequence[VideoScores]) -> Movement | None:
    """Compare the videos that were scored in float32 too; None where there are none."""
    pairs = [(result.mean, result.float32_mean) for result in results if result.float32_mean is not None]
    if not pairs:
        return None
    fast, exact = (torch.stack(list(side)) for side in zip(*pairs, strict=True))
    change = (fast - exact).abs()
    return Movement(
        videos=len(pairs),
        mean_change=change.mean().item(),
        largest_change=change.max().item(),
        relative_norm=(change.norm() / exact.norm()).item(),
        top1_changed=int((fast.argmax(dim=1) != exact.argmax(dim=1)).sum()),
    )


def _ranked_last(results: Sequence[VideoScores], pooling: Pooling, readable: torch.Tensor) -> torch.Tensor:
    scores = torch.stack([result.pooled(pooling) for result in results])
    return scores.masked_fill(~readable[:, None], -math.inf)
