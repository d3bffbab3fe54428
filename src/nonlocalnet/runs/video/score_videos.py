"""Testing: the class scores of whole videos, pooled over their views."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch.utils.data import Subset

from nonlocalnet.data.clips.datasets import TestVideos
from nonlocalnet.data.pixels.normalise import normalise
from nonlocalnet.engine.loaders import make_loader, spread_evenly
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.runs.video.inference import Inference, Scorer, for_inference, views_at_once
from nonlocalnet.system.errors import NonFiniteError
from nonlocalnet.system.progress import progress_bars

Pooling = Literal["mean", "max"]


@dataclass(frozen=True)
class VideoScores:
    """What a network says about one video.

    Attributes:
        index: Position in the list of videos.
        label: True class, -1 where unknown; or (classes,) of 0 and 1, where a video may have several.
        mean: (classes,) float64 probabilities on the CPU, averaged over the views; all 0 for an unreadable video.
        highest: The same, the maximum over the views.
        error: Why the video could not be read; empty if it was.
        float32_mean: `mean` of a network in float32, for the videos on which bfloat16 is compared with it.
    """

    index: int
    label: int | torch.Tensor
    mean: torch.Tensor
    highest: torch.Tensor
    error: str
    float32_mean: torch.Tensor | None = None

    @property
    def predicted(self) -> int | None:
        """The class with the highest mean (the lowest index of equals); None for an unreadable video."""
        return None if self.error else int(self.mean.argmax())

    def pooled(self, pooling: Pooling) -> torch.Tensor:
        """(classes,) the views' mean or maximum."""
        return self.mean if pooling == "mean" else self.highest


def score_share(
    model: VideoResNet,
    videos: TestVideos,
    *,
    preprocessing: Preprocessing,
    inference: Inference,
    device: torch.device,
    rank: int = 0,
    processes: int = 1,
    workers: int = 0,
    batch_views: int | None = None,
    multi_label: bool = False,
    progress: bool = False,
    describe: str = "test",
    on_video: Callable[[], object] = lambda: None,
) -> Iterator[VideoScores]:
    """Score the videos rank, rank + processes, rank + 2 processes, ... of a list.

    Args:
        model: The network.
        videos: All of them, each with its views.
        preprocessing: What the network's card says of its input.
        inference: The arithmetic. The videos on which bfloat16 is compared are spread over the whole list.
        device: Where the network runs.
        rank: Number of this process.
        processes: How many share the list.
        workers: Loader processes; 0 for none.
        batch_views: As in `score_videos`.
        multi_label: As in `score_videos`.
        progress: As in `score_videos`.
        describe: As in `score_videos`.
        on_video: As in `score_videos`.

    Yields:
        One entry per video of the share, as it is scored.

    Raises:
        NonFiniteError: If a score is NaN or infinite.
    """
    fast, exact = for_inference(model, inference)
    share = Subset(videos, range(rank, len(videos), processes))
    return score_videos(
        fast,
        make_loader(share, batch_size=None, workers=workers, pin_memory=device.type == "cuda"),
        prepare=partial(normalise, mean=preprocessing.mean, std=preprocessing.std, bgr=preprocessing.bgr),
        device=device,
        batch_views=batch_views,
        multi_label=multi_label,
        float32_model=exact,
        compared=frozenset(spread_evenly(len(videos), inference.compared)),
        total=len(share),
        progress=progress,
        describe=describe,
        on_video=on_video,
    )


def score_videos(
    model: Scorer,
    loader: Iterable[dict[str, Any]],
    *,
    prepare: Callable[[torch.Tensor], torch.Tensor],
    device: torch.device,
    batch_views: int | None = None,
    multi_label: bool = False,
    float32_model: Scorer | None = None,
    compared: Collection[int] = (),
    total: int | None = None,
    progress: bool = True,
    describe: str = "test",
    on_video: Callable[[], object] = lambda: None,
) -> Iterator[VideoScores]:
    """Score each video of a loader by the network's class probabilities of its views.

    Args:
        model: Moved to `device` and put in eval mode.
        loader: Gives single videos {"views": uint8 (V, T, H, W, 3), "label", "index", "error"}, not batches of them.
        prepare: Turns views into the network's input.
        device: Where the network runs.
        batch_views: Views of one video that go through the network at once, at least 1; None for `views_at_once`.
        multi_label: A sigmoid of each class in place of the softmax.
        float32_model: The same network in float32, for the videos in `compared`.
        compared: Indices of videos that it scores too.
        total: Number of videos, for the progress bar.
        progress: Show a progress bar on standard error.
        describe: Its label.
        on_video: Called after each video.

    Yields:
        One entry per video, in the loader's order, as it is scored.

    Raises:
        NonFiniteError: If a score is NaN or infinite, naming the video.
    """
    networks = [model] if float32_model is None else [model, float32_model]
    for network in networks:
        network.to(device)
        network.eval()
    at_once = batch_views or views_at_once(device)
    with progress_bars(shown=progress) as bar:
        task = bar.add_task(describe, total=total)
        for item in loader:
            used = networks if int(item["index"]) in compared else [model]
            result = _score_one(used, item, prepare, device=device, at_once=at_once, multi_label=multi_label)
            bar.advance(task)
            on_video()
            yield result


@torch.inference_mode()
def _score_one(
    networks: Sequence[Scorer],
    item: dict[str, Any],
    prepare: Callable[[torch.Tensor], torch.Tensor],
    *,
    device: torch.device,
    at_once: int,
    multi_label: bool,
) -> VideoScores:
    """One video by each network: the one that counts, and the same in float32 where they are compared."""
    index, error, label = int(item["index"]), str(item["error"]), _label(item["label"])
    if error:
        nothing = torch.zeros(networks[0].num_classes, dtype=torch.float64)
        return VideoScores(index, label, nothing, nothing, error)
    scored: list[torch.Tensor] = []  # (V, K) float64 on the CPU, of every network
    for network in networks:
        one = view_scores(
            network,
            item["views"],
            prepare,
            device=device,
            at_once=at_once,
            multi_label=multi_label,
            video=item.get("path", f"video {index}"),
        )
        scored.append(one)
    exact = scored[1].mean(dim=0) if len(scored) > 1 else None
    return VideoScores(index, label, scored[0].mean(dim=0), scored[0].amax(dim=0), "", exact)


def view_scores(
    network: Scorer,
    views: torch.Tensor,
    prepare: Callable[[torch.Tensor], torch.Tensor],
    *,
    device: torch.device,
    at_once: int,
    multi_label: bool,
    video: str,
) -> torch.Tensor:
    """The class probabilities of views, (V, classes) float64 on the CPU; to be called in inference mode.

    Args:
        network: On `device`, in eval mode.
        views: uint8 (V, T, H, W, 3).
        prepare: Turns views into the network's input.
        device: Where the network is.
        at_once: Views that go through it together.
        multi_label: As in `score_videos`.
        video: What they are of, for the error.

    Raises:
        NonFiniteError: A score is NaN or infinite.
    """
    inputs = (prepare(part.to(device, non_blocking=True)) for part in views.split(at_once))
    scores = torch.cat([network.scores(x, multi_label=multi_label).double().cpu() for x in inputs])
    _require_finite(scores, views, video=video)
    return scores


def _require_finite(scores: torch.Tensor, views: torch.Tensor, *, video: str) -> None:
    if not torch.isfinite(scores).all():
        cause = "the frames hold NaN or infinity" if not torch.isfinite(views).all() else "the weights may be broken"
        raise NonFiniteError(f"the scores of {video} are not finite: {cause}")


def _label(label: int | torch.Tensor) -> int | torch.Tensor:
    return label if isinstance(label, torch.Tensor) and label.ndim == 1 else int(label)
