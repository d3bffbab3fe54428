"""Testing: the class scores of whole videos, averaged over their views."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from nonlocalnet.engine.errors import NonFiniteError
from nonlocalnet.engine.metrics import confusion_matrix, topk_correct
from nonlocalnet.engine.progress import progress_bar


class Scorer(Protocol):
    """A network that gives class probabilities, such as `nonlocalnet.models.VideoResNet`."""

    num_classes: int

    def eval(self) -> Any:
        """Set eval mode."""
        ...

    def to(self, device: torch.device) -> Any:
        """Move to a device."""
        ...

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, T, H, W) to probabilities (B, classes)."""
        ...


@dataclass(frozen=True)
class VideoScores:
    """What a network says about one video.

    Attributes:
        index: Position in the list of videos.
        label: True class; -1 where unknown.
        scores: (classes,) float64 probabilities on the CPU, averaged over the views; all 0 for an unreadable video.
        error: Why the video could not be read; empty if it was.
    """

    index: int
    label: int
    scores: torch.Tensor
    error: str

    @property
    def predicted(self) -> int | None:
        """The class with the highest score (the lowest index of equals); None for an unreadable video."""
        return None if self.error else int(self.scores.argmax())


@dataclass(frozen=True)
class TestSummary:
    """What a test comes to. An unreadable video counts as wrong everywhere.

    Attributes:
        top1: Percent of videos whose class has the highest score.
        top5: Percent of videos whose class is among the five highest scores.
        videos: Number of videos.
        unreadable: How many of them could not be read.
        class_videos: Videos of each class.
        class_correct: How many of them are right (top-1).
        confusion: (classes, classes) counts of the readable videos: row the true class, column the predicted one.
    """

    __test__ = False  # the name is not a pytest class

    top1: float
    top5: float
    videos: int
    unreadable: int
    class_videos: list[int]
    class_correct: list[int]
    confusion: torch.Tensor


def score_videos(
    model: Scorer,
    loader: Iterable[dict[str, Any]],
    *,
    prepare: Callable[[torch.Tensor], torch.Tensor],
    device: torch.device,
    batch_views: int,
    total: int | None = None,
    progress: bool = True,
    describe: str = "test",
) -> list[VideoScores]:
    """Score each video of a loader: the mean over its views of the network's class probabilities.

    Args:
        model: Moved to `device` and put in eval mode.
        loader: Gives single videos {"views": uint8 (V, T, H, W, 3), "label", "index", "error"}, not batches of them.
        prepare: Turns views into the network's input.
        device: Where the network runs.
        batch_views: Views of one video that go through the network at once, at least 1.
        total: Number of videos, for the progress bar.
        progress: Show a progress bar on standard error.
        describe: Its label.

    Returns:
        One entry per video, in the loader's order.

    Raises:
        NonFiniteError: If a score is NaN or infinite, naming the video's position.
    """
    model.to(device)
    model.eval()
    results = []
    bar = progress_bar()
    with bar if progress else _Silent(), torch.inference_mode():
        task = bar.add_task(describe, total=total, note="")
        for item in loader:
            results.append(_score_video(model, item, prepare=prepare, device=device, batch_views=batch_views))
            bar.advance(task)
    return results


def summarise_scores(results: list[VideoScores], *, num_classes: int) -> TestSummary:
    """Count right answers over all videos and by class.

    Args:
        results: Of labelled videos, at least one.
        num_classes: Classes of the network.
    """
    labels = torch.tensor([result.label for result in results])
    scores = torch.stack([result.scores for result in results])
    readable = torch.tensor([not result.error for result in results])
    top1 = topk_correct(scores, labels, k=1) & readable
    top5 = topk_correct(scores, labels, k=5) & readable
    predicted = scores.argmax(dim=1)
    return TestSummary(
        top1=100 * top1.double().mean().item(),
        top5=100 * top5.double().mean().item(),
        videos=len(results),
        unreadable=int((~readable).sum()),
        class_videos=torch.bincount(labels, minlength=num_classes).tolist(),
        class_correct=torch.bincount(labels[top1], minlength=num_classes).tolist(),
        confusion=confusion_matrix(labels[readable], predicted[readable], num_classes=num_classes),
    )


class _Silent:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _score_video(
    model: Scorer,
    item: dict[str, Any],
    *,
    prepare: Callable[[torch.Tensor], torch.Tensor],
    device: torch.device,
    batch_views: int,
) -> VideoScores:
    index, label, error = int(item["index"]), int(item["label"]), str(item["error"])
    if error:
        return VideoScores(index, label, torch.zeros(model.num_classes, dtype=torch.float64), error)
    views = item["views"]
    total = torch.zeros(model.num_classes, dtype=torch.float64)
    for chunk in views.split(batch_views):
        total += model.scores(prepare(chunk.to(device, non_blocking=True))).double().sum(dim=0).cpu()
    scores = total / len(views)
    if not torch.isfinite(scores).all():
        cause = "the frames hold NaN or infinity" if not torch.isfinite(views).all() else "the weights may be broken"
        raise NonFiniteError(f"the scores of video {index} are not finite: {cause}")
    return VideoScores(index, label, scores, "")
