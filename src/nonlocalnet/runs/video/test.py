"""A recipe's protocol on a list of videos: on one process or several, in the arithmetic asked for."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nonlocalnet import formats
from nonlocalnet.data.annotations import VideoList
from nonlocalnet.data.clips.windows import ClipGeometry
from nonlocalnet.engine.config import TrainerConfig
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.engine.run_folder import prepare_output, require_free
from nonlocalnet.engine.tested import about_test, require_any_read
from nonlocalnet.formats.graph import block_facts
from nonlocalnet.formats.start import BLOCK_MEANING, block_differences
from nonlocalnet.insert import nonlocal_blocks
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.card import Preprocessing
from nonlocalnet.runs.video.classes import has_published_classes, with_class_names
from nonlocalnet.runs.video.config import VideoRecipe, recipe_from_plain
from nonlocalnet.runs.video.data import build_test_videos, clip_geometry, load_videos
from nonlocalnet.runs.video.inference import Inference
from nonlocalnet.runs.video.network import build_model
from nonlocalnet.runs.video.options import require_clip_used
from nonlocalnet.runs.video.report import write_report
from nonlocalnet.runs.video.results.scores import ScoredVideos, average_scores, load_scores
from nonlocalnet.runs.video.results.summary import TestSummary, summarise_scores
from nonlocalnet.runs.video.score_videos import Pooling, VideoScores, score_share
from nonlocalnet.system.processes import run_in_processes
from nonlocalnet.system.progress import progress_bars

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoWeights:
    """A file of weights, read once.

    Attributes:
        path: The file, as it was given.
        plan: Its network and tensors.
        recipe: The recipe it was trained by; None where it was not trained here.
    """

    path: str
    plan: formats.LoadPlan
    recipe: VideoRecipe | None

    def trained_by(self, recipe: VideoRecipe) -> bool:
        """Whether they are of that recipe and its classes: only then are its published results a comparison."""
        if self.recipe is None or self.recipe.name != recipe.name:
            return False
        card = self.plan.card
        classes = self.plan.arguments["num_classes"]
        return has_published_classes(card.class_names, num_classes=classes, multi_label=card.multi_label)

    def protocol(self, recipe: VideoRecipe) -> VideoRecipe:
        """A recipe's protocol for these weights: theirs if they were trained by it, else it with their network."""
        if self.recipe is None:
            return recipe
        return self.recipe if self.recipe.name == recipe.name else dataclasses.replace(recipe, model=self.recipe.model)


def open_weights(path: str | Path, *, asked: formats.Hints | None = None, classes: str | None = None) -> VideoWeights:
    """Read a file of weights.

    Of the recipe that it was trained by, what concerned that run's machine or only its quick look is left out.

    Args:
        path: Anything that `from_checkpoint` opens.
        asked: What the file leaves open.
        classes: The names of its classes, as `with_class_names` takes them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not understood, or leaves something open.
    """
    plan = with_class_names(formats.plan_file(path, asked), classes)
    if asked is not None:
        require_clip_used(plan, asked, instead="; a test takes --data.clip_frames and --data.frame_stride")
    saved = plan.card.recipe
    if saved is None:
        return VideoWeights(str(path), plan, None)
    recipe = recipe_from_plain(saved)
    data = dataclasses.replace(recipe.data, limit=None)
    return VideoWeights(str(path), plan, dataclasses.replace(recipe, data=data, trainer=TrainerConfig()))


def test_recipe(
    recipe: VideoRecipe,
    *,
    weights: str | Path | VideoWeights,
    out: str | Path,
    inference: Inference | None = None,  # noqa: PT028  not a test
    progress: bool = True,  # noqa: PT028
) -> TestSummary:
    """Test a checkpoint by the recipe's protocol and write the files of `nonlocalnet.runs.video.report`.

    Args:
        recipe: Its `data` says which videos and views, `trainer.devices` on how many processes; the network comes from
            the checkpoint. Every video is scored by one process, and the result is that of one process alone.
        weights: Anything that `from_checkpoint` opens, or what `open_weights` gave for it.
        out: Folder for the files; new or empty.
        inference: The arithmetic; None for `Inference()`.
        progress: Show a progress bar on standard error.

    Returns:
        What the test comes to.

    Raises:
        ValueError: A setting, list or file is wrong, the checkpoint's classes are not the list's, or nothing could be
            read.
        FileNotFoundError: A list, video or file does not exist.
        OutputError: `out` cannot be used or written.
        NonFiniteError: A score is not finite.
        ProcessError: A process died.
    """
    out = Path(out)
    require_free(out, resume=False)
    device = choose_device(recipe.trainer.device)
    inference = (inference or Inference()).on(device)
    _check_devices(device, recipe.trainer.devices)
    opened = weights if isinstance(weights, VideoWeights) else open_weights(weights)
    model, _ = formats.load(opened.plan, strict=True)
    card = formats.card_of(model)
    if opened.recipe is None:
        _say_other_network(recipe, model, path=opened.path)
    recipe = _for_weights(recipe, opened, num_classes=model.num_classes)
    videos = load_videos(recipe, "test", class_names=card.class_names)
    prepare_output(out, resume=False)
    share = _Share(
        recipe=recipe,
        clip=_clip(recipe, opened, least=model.min_input_size[0]),
        plan=opened.plan,
        videos=videos,
        preprocessing=card.preprocessing,
        inference=inference,
        device=device.type,
        threads=max(1, torch.get_num_threads() // recipe.trainer.devices),
    )
    about = about_test(recipe, model, path=opened.path)
    results = _score(share, model, progress=progress)
    names = card.class_names or videos.class_names or [str(i) for i in range(model.num_classes)]
    about |= {
        "clip": f"{share.clip.frames}x{share.clip.stride}",
        "inference": dataclasses.asdict(inference),
    }
    paths = [str(entry.path) for entry in videos.entries]
    scored = ScoredVideos(results, paths, list(names), about)
    summary = summarise_scores(results, num_classes=model.num_classes, pooling=recipe.data.test_pooling)
    require_any_read(unreadable=summary.unreadable, total=summary.videos, items="videos")
    write_report(out, scored, summary)
    return summary


def _say_other_network(recipe: VideoRecipe, model: VideoResNet, *, path: str) -> None:
    """The network is that of the file; where the recipe names another, the test is not one of the recipe."""
    with torch.device("meta"):
        own = build_model(recipe)
    found = [] if own.architecture == model.architecture else [f"{model.architecture}, not {own.architecture}"]
    blocks = [", ".join(nonlocal_blocks(network)).replace("_nonlocal", "") or "none" for network in (model, own)]
    found += [] if blocks[0] == blocks[1] else [f"its blocks stand after {blocks[0]}, not {blocks[1]}"]
    found += block_differences(block_facts(own), block_facts(model), names=BLOCK_MEANING)
    if found:
        log.warning(
            "%s is tested by the protocol of %s, and is another network: %s", path, recipe.name, "; ".join(found)
        )


def _for_weights(recipe: VideoRecipe, opened: VideoWeights, *, num_classes: int) -> VideoRecipe:
    """The recipe with the network of the weights: of their training here, or of another program."""
    if opened.recipe is not None:
        return dataclasses.replace(recipe, model=opened.recipe.model)
    several = opened.plan.card.multi_label
    return dataclasses.replace(
        recipe, model=dataclasses.replace(recipe.model, num_classes=num_classes, multi_label=several)
    )


def _clip(recipe: VideoRecipe, opened: VideoWeights, *, least: int) -> ClipGeometry:
    """The recipe's clip; that of the weights where they come from another program and `data` does not set it."""
    if opened.recipe is not None:
        return clip_geometry(recipe)
    own, data = opened.plan.card.preprocessing, recipe.data
    clip = ClipGeometry(data.clip_frames or own.clip_frames, data.frame_stride or own.frame_stride)
    if clip.frames < least:
        raise ValueError(f"data.clip_frames must be at least {least} for the strides of the weights, got {clip.frames}")
    return clip


def average_tests(folders: Sequence[str | Path], *, out: str | Path, pooling: Pooling = "mean") -> TestSummary:
    """Average the scores of several tests of the same videos, and write the report of the result.

    Args:
        folders: The output folders of the tests, at least one; one alone has its metrics computed again.
        out: Folder for the files; new or empty.
        pooling: Which of each video's pooled scores count.

    Raises:
        FileNotFoundError: A folder holds no scores.
        ValueError: One is given twice, or they are not of the same videos, labels and classes.
        OutputError: `out` cannot be used or written.
    """
    places = [Path(folder).resolve() for folder in folders]
    twice = next((folder for n, folder in enumerate(folders) if places[n] in places[:n]), None)
    if twice is not None:
        raise ValueError(f"{twice} is given twice, and would count twice: name each test once")
    parts = [load_scores(folder) for folder in folders]
    averaged = average_scores(parts, sources=[str(folder) for folder in folders])
    summary = summarise_scores(averaged.results, num_classes=len(averaged.class_names), pooling=pooling)
    prepare_output(Path(out), resume=False)
    write_report(Path(out), averaged, summary)
    return summary


@dataclass(frozen=True)
class _Share:
    """Scores the videos rank, rank + devices, rank + 2 devices, ... of a list; picklable."""

    recipe: VideoRecipe
    clip: ClipGeometry
    plan: formats.LoadPlan
    videos: VideoList
    preprocessing: Preprocessing
    inference: Inference
    device: str
    threads: int

    def __call__(self, rank: int, *, on_item: Callable[[], object]) -> _Packed:
        """In a process of its own."""
        torch.set_num_threads(self.threads)
        logging.getLogger("nonlocalnet").setLevel(logging.WARNING)
        model, _ = formats.load(self.plan, strict=True)
        return _pack(self.score(model, rank, processes=self.recipe.trainer.devices, on_item=on_item))

    def score(
        self, model: VideoResNet, rank: int, *, processes: int, on_item: Callable[[], object]
    ) -> list[VideoScores]:
        data = self.recipe.data
        results = score_share(
            model,
            build_test_videos(self.recipe, self.videos, clip=self.clip),
            preprocessing=self.preprocessing,
            inference=self.inference,
            device=torch.device(self.device, rank) if self.device == "cuda" else torch.device(self.device),
            rank=rank,
            processes=processes,
            workers=data.workers,
            batch_views=data.test_batch_views,
            multi_label=self.recipe.model.multi_label,
            on_video=on_item,
        )
        return list(results)


def _score(share: _Share, model: VideoResNet, *, progress: bool) -> list[VideoScores]:
    processes = share.recipe.trainer.devices
    bar = progress_bars(shown=progress)
    with bar:
        task = bar.add_task("test", total=len(share.videos.entries))
        on_item = partial(bar.advance, task)
        if processes == 1:
            return share.score(model, 0, processes=1, on_item=on_item)
        parts = run_in_processes(
            share,
            shares=processes,
            processes=processes,
            on_item=lambda _rank: on_item(),
            advice="fewer processes, or smaller data.test_batch_views, take less",
        )
    return sorted((result for part in parts for result in _unpack(part)), key=lambda result: result.index)


# What goes from one process to another: arrays, since a tensor each would take a file descriptor each.
_Packed = list[dict[str, Any]]


def _pack(results: list[VideoScores]) -> _Packed:
    def plain(value: Any) -> Any:
        return value.numpy() if isinstance(value, torch.Tensor) else value

    return [{name: plain(value) for name, value in vars(result).items()} for result in results]


def _unpack(packed: _Packed) -> list[VideoScores]:
    def tensor(value: Any) -> Any:
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    return [VideoScores(**{name: tensor(value) for name, value in row.items()}) for row in packed]


def _check_devices(device: torch.device, wanted: int) -> None:
    found = torch.cuda.device_count()
    if device.type == "cuda" and wanted > found:
        raise ValueError(f"trainer.devices must be at most {found}, the CUDA devices here, got {wanted}")
