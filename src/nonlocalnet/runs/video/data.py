"""The videos of a run: its lists, and the loaders over their clips."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch.utils.data import DataLoader, Dataset

from nonlocalnet.data.annotations import CLASS_NAMES_FILE, VideoList, class_names_at, load_video_list
from nonlocalnet.data.batches import StepBatchSampler
from nonlocalnet.data.clips.datasets import TestVideos, TrainVideos
from nonlocalnet.data.clips.random_views import RandomViews
from nonlocalnet.data.clips.windows import ClipGeometry, parse_clip
from nonlocalnet.engine.devices import choose_device
from nonlocalnet.engine.loaders import EvenShare, TrainLoaders, make_loader, spread_evenly
from nonlocalnet.runs.video.config import VideoRecipe


def clip_geometry(recipe: VideoRecipe) -> ClipGeometry:
    """Frames and stride of a clip: those of `data` where set, else of `model.clip`."""
    own = parse_clip(recipe.model.clip)
    return ClipGeometry(recipe.data.clip_frames or own.frames, recipe.data.frame_stride or own.stride)


def load_videos(
    recipe: VideoRecipe, split: Literal["train", "val", "test"], *, class_names: Sequence[str] | None = None
) -> VideoList:
    """Read one of the recipe's lists.

    Args:
        recipe: Names the root and the list.
        split: "test" is the validation list where `data.test` is null.
        class_names: Names already known, of the training list or of the weights. They number the class folders, of
            which some may be missing here, and the names in a csv; a `classes.txt` beside the list must agree.

    Raises:
        ValueError: If `data.root` is not set, the list is malformed, or its labels do not match `model.num_classes`.
        FileNotFoundError: If the list or one of its videos does not exist.
    """
    data = recipe.data
    if data.root is None:
        raise ValueError("data.root is not set: give the folder of the videos, --data.root DIR")
    name = {"train": data.train, "val": data.val, "test": data.test or data.val}[split]
    source = Path(data.root) / name
    own_names = source.is_file() and (source.parent / CLASS_NAMES_FILE).is_file()
    classes = None if own_names else class_names
    videos = load_video_list(
        source,
        root=data.root,
        num_classes=recipe.model.num_classes,
        classes=classes,
        multi_label=recipe.model.multi_label,
    )
    _compare_class_names(videos, class_names)
    kept = tuple(videos.entries[i] for i in spread_evenly(len(videos.entries), data.limit))
    return videos._replace(entries=kept)


def count_classes(recipe: VideoRecipe) -> int | None:
    """How many classes the training folder or the `classes.txt` beside the training list has; None if none says."""
    names = None if recipe.data.root is None else class_names_at(Path(recipe.data.root) / recipe.data.train)
    return None if names is None else len(names)


def count_training(recipe: VideoRecipe) -> int:
    """How many videos a training has.

    Raises:
        ValueError, FileNotFoundError: As `load_videos`.
    """
    return len(load_videos(recipe, "train").entries)


def build_train_loaders(recipe: VideoRecipe, videos: VideoList) -> TrainLoaders:
    """The training clips, as the engine loads them."""
    dataset = _random_clips(recipe, videos)
    return TrainLoaders(
        dataset,
        partial(StepBatchSampler, len(dataset)),
        recipe.optim,
        seed=recipe.trainer.seed,
        workers=recipe.data.workers,
        options={"pin_memory": pins_memory(recipe)},
    )


def build_val_loader(recipe: VideoRecipe, videos: VideoList, *, rank: int = 0, world_size: int = 1) -> DataLoader:
    """Loader over one process's share of the validation: the centre clip's centre crop of each video.

    With `data.as_release` a random clip and crop, as [C2] has it.
    """
    share = ValidationShare(
        RandomViews(_random_clips(recipe, videos)) if recipe.data.as_release else _centre_clips(recipe, videos),
        positions=spread_evenly(len(videos.entries), recipe.trainer.limit_val),
        rank=rank,
        world_size=world_size,
    )
    processes = recipe.trainer.devices * recipe.trainer.num_nodes
    size = recipe.optim.batch_size // (processes * recipe.optim.accumulate)
    return make_loader(share, workers=recipe.data.workers, batch_size=size, pin_memory=pins_memory(recipe))


def _random_clips(recipe: VideoRecipe, videos: VideoList) -> TrainVideos:
    data = recipe.data
    return TrainVideos(
        videos,
        clip_geometry(recipe),
        short_side=(data.short_side_min, data.short_side_max),
        crop=data.crop or recipe.model.crop,
        flip=data.flip,
        seed=recipe.trainer.seed,
        as_release=data.as_release,
    )


def _centre_clips(recipe: VideoRecipe, videos: VideoList) -> TestVideos:
    crop = recipe.data.crop or recipe.model.crop
    short_side = max(recipe.data.test_short_side, crop)
    return TestVideos(videos, clip_geometry(recipe), num_clips=1, crops="centre", short_side=short_side, crop=crop)


def build_test_videos(recipe: VideoRecipe, videos: VideoList, *, clip: ClipGeometry | None = None) -> TestVideos:
    """Videos with all the views of the recipe's protocol; `clip` None is the recipe's."""
    data = recipe.data
    return TestVideos(
        videos,
        clip or clip_geometry(recipe),
        num_clips=data.test_clips,
        positions=data.test_positions,
        crops=data.test_crops,
        short_side=data.test_short_side,
        crop=data.test_crop,
        scaling="release" if data.test_positions == "wrapped" else "antialiased",
    )


class ValidationShare(Dataset[dict[str, Any]]):
    """One process's share of the videos to validate on, each as its first view; all views have the same size.

    Args:
        videos: Gives items {"views": uint8 (V, T, H, W, 3), "label", "error"}, blank views where there is an error.
        positions: Which of them are validated.
        rank: Number of this process.
        world_size: Number of processes.
    """

    def __init__(
        self,
        videos: Dataset[Any],
        *,
        positions: list[int],
        rank: int,
        world_size: int,
    ) -> None:
        self.share = EvenShare(videos, positions=positions, rank=rank, world_size=world_size)

    def __len__(self) -> int:
        return len(self.share)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item, counted = self.share[index]
        return {
            "frames": item["views"][0],
            "label": item["label"],
            "counted": counted,
            "readable": not item["error"],
            "error": item["error"],
        }


def pins_memory(recipe: VideoRecipe) -> bool:
    """Whether the loaders put batches into memory that a GPU copies from faster."""
    return choose_device(recipe.trainer.device).type == "cuda"


def _compare_class_names(videos: VideoList, known: Sequence[str] | None) -> None:
    if known is None or videos.class_names is None:
        return
    for index, (ours, theirs) in enumerate(zip(known, videos.class_names, strict=True)):
        if ours != theirs:
            raise ValueError(
                f"{videos.source}: class {index} is {theirs!r} here, and {ours!r} where the network is trained: "
                f"the labels do not match; give both lists the same {CLASS_NAMES_FILE}"
            )
