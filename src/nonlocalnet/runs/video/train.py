"""A recipe becomes a network, its loaders and a training; `nonlocalnet.runs.video.test` tests it."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader

from nonlocalnet import formats
from nonlocalnet.data.annotations import CLASS_NAMES_FILE, VideoList, load_video_list
from nonlocalnet.data.batches import StepBatchSampler
from nonlocalnet.data.clips.datasets import TestVideos, TrainVideos
from nonlocalnet.data.clips.sampling import ClipGeometry, parse_clip
from nonlocalnet.data.clips.transforms import normalise
from nonlocalnet.engine.config import Recipe, require_equal_shares
from nonlocalnet.engine.loaders import MicroBatches, ValidationShare, make_loader, spread_evenly
from nonlocalnet.engine.output import prepare_output
from nonlocalnet.engine.resume import start_step_of
from nonlocalnet.engine.train import TrainResult, choose_device, is_first_process, train, training_device
from nonlocalnet.formats.inflate import How
from nonlocalnet.formats.initialise import initialise
from nonlocalnet.models import VideoResNet
from nonlocalnet.models.video.card import Preprocessing, VideoCard
from nonlocalnet.system.files import write_atomically

log = logging.getLogger(__name__)

# May differ between a run and its resumption: none of them changes what a training step computes.
_FREE_ON_RESUME = {
    "data": {
        "root",
        "val",
        "test",
        "workers",
        "max_unreadable",
        "test_clips",
        "test_positions",
        "test_crops",
        "test_short_side",
        "test_crop",
        "test_pooling",
        "test_batch_views",
    },
    "schedule": {"steps"},
    "trainer": {
        "device",
        "devices",
        "num_nodes",
        "strategy",
        "recompute",
        "val_every",
        "checkpoint_every",
        "log_every",
        "limit_val_videos",
    },
}


def model_arguments(recipe: Recipe) -> dict[str, Any]:
    """Keyword arguments of the recipe's factory in `nonlocalnet.models`."""
    arguments = dataclasses.asdict(recipe.model)
    architecture = arguments.pop("architecture")
    del arguments["multi_label"]  # a matter of the loss and the scores, not of the layers
    if architecture.startswith("c2d"):
        del arguments["inflate"]
    if architecture.endswith("_control"):
        places = arguments["nonlocal_blocks"]
        shared = ("num_classes", "clip", "variant", "width", "dropout", "crop")
        return {"residual_blocks": places, **{name: arguments[name] for name in shared}}
    return arguments


def build_model(recipe: Recipe) -> VideoResNet:
    """Build the recipe's network; its initial weights are a function of `trainer.seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.trainer.seed)
        return formats.ARCHITECTURES[recipe.model.architecture](**model_arguments(recipe))


def clip_geometry(recipe: Recipe) -> ClipGeometry:
    """Frames and stride of a clip: those of `data` where set, else of `model.clip`."""
    own = parse_clip(recipe.model.clip)
    return ClipGeometry(recipe.data.clip_frames or own.frames, recipe.data.frame_stride or own.stride)


def make_card(recipe: Recipe, *, class_names: Sequence[str] | None) -> VideoCard:
    """The card of the recipe's checkpoints."""
    geometry = clip_geometry(recipe)
    return VideoCard(
        architecture=recipe.model.architecture,
        arguments=model_arguments(recipe),
        recipe=dataclasses.asdict(recipe),
        preprocessing=Preprocessing(
            clip_frames=geometry.frames,
            frame_stride=geometry.stride,
            short_side=recipe.data.test_short_side,
            crop=recipe.data.test_crop,
        ),
        class_names=None if class_names is None else list(class_names),
        multi_label=recipe.model.multi_label,
    )


def load_videos(
    recipe: Recipe, split: Literal["train", "val", "test"], *, class_names: Sequence[str] | None = None
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


def build_train_videos(recipe: Recipe, videos: VideoList) -> TrainVideos:
    """The training clips."""
    data = recipe.data
    return TrainVideos(
        videos,
        clip_geometry(recipe),
        short_side=(data.short_side_min, data.short_side_max),
        crop=data.crop or recipe.model.crop,
        flip=data.flip,
        seed=recipe.trainer.seed,
    )


def build_train_loader(
    recipe: Recipe, dataset: TrainVideos, *, start_step: int = 0, stop_step: int, rank: int = 0, world_size: int = 1
) -> DataLoader:
    """Loader over the micro-batches of the steps [start_step, stop_step) for one process.

    The batches are a function of `trainer.seed` and the step, whatever the workers and processes.
    """
    sampler = StepBatchSampler(
        len(dataset),
        global_batch_size=recipe.optim.batch_size,
        total_steps=stop_step,
        start_step=start_step,
        seed=recipe.trainer.seed,
        rank=rank,
        world_size=world_size,
    )
    batches = MicroBatches(sampler, parts=recipe.optim.accumulate)
    return make_loader(dataset, workers=recipe.data.workers, batch_sampler=batches, pin_memory=pins_memory(recipe))


def build_val_loader(recipe: Recipe, videos: VideoList, *, rank: int = 0, world_size: int = 1) -> DataLoader:
    """Loader over one process's share of the validation: the centre clip's centre crop of each video."""
    crop = recipe.data.crop or recipe.model.crop
    dataset = TestVideos(
        videos,
        clip_geometry(recipe),
        num_clips=1,
        crops="centre",
        short_side=max(recipe.data.test_short_side, crop),
        crop=crop,
    )
    share = ValidationShare(
        dataset,
        positions=spread_evenly(len(videos.entries), recipe.trainer.limit_val_videos),
        rank=rank,
        world_size=world_size,
    )
    processes = recipe.trainer.devices * recipe.trainer.num_nodes
    size = recipe.optim.batch_size // (processes * recipe.optim.accumulate)
    return make_loader(share, workers=recipe.data.workers, batch_size=size, pin_memory=pins_memory(recipe))


def train_recipe(
    recipe: Recipe,
    *,
    out: str | Path,
    resume: bool = False,
    init: str | Path | None = None,
    init_inflation: How = "average",
    progress: bool = True,
    callbacks: Sequence[pl.Callback] = (),
) -> TrainResult:
    """Train a recipe.

    Args:
        recipe: The run.
        out: Folder for its files (`nonlocalnet.engine.output` lists them); new or empty, unless resumed.
        resume: Continue the run in `out` from its last checkpoint; from the start where it has none yet.
        init: File whose matching tensors start the network.
        init_inflation: How the kernels of a 2-D ResNet in `init` become kernels over time.
        progress: Show a progress bar on standard error.
        callbacks: Further Lightning callbacks.

    Returns:
        Where the checkpoints are and what the validation gave.

    Raises:
        ValueError: A setting, list or file is wrong; the message says which and what to do.
        FileNotFoundError: A list, video or file does not exist.
        OutputError: `out` cannot be used or written.
        NonFiniteError: A loss or weight is not finite; the checkpoints stay those of before.
    """
    out = Path(out)
    require_equal_shares(recipe)
    device = training_device(recipe.trainer)
    train_videos = load_videos(recipe, "train")
    val_videos = load_videos(recipe, "val", class_names=train_videos.class_names)
    card = make_card(recipe, class_names=train_videos.class_names or val_videos.class_names)
    model = build_model(recipe)
    start_step = start_step_of(recipe, out, free=_FREE_ON_RESUME) if resume else 0
    if start_step == 0 and init is not None:
        initialise(model, formats.read_tensors(init), source=str(init), inflation=init_inflation)
    if is_first_process():
        prepare_output(out, resume=resume)
        write_atomically(out / "recipe.json", json.dumps(dataclasses.asdict(recipe), indent=2) + "\n")
    if start_step == 0 and init is None and recipe.starts_from:
        log.info("%s is meant to start from %s, given with --init; it starts fresh", recipe.name, recipe.starts_from)
    log.info(
        "training %s on %s: %d videos, %d to validate", recipe.name, device, *map(_size, (train_videos, val_videos))
    )
    return train(
        model,
        make_train_loader=partial(build_train_loader, recipe, build_train_videos(recipe, train_videos)),
        make_val_loader=partial(build_val_loader, recipe, val_videos),
        prepare=partial(normalise, mean=card.preprocessing.mean, std=card.preprocessing.std),
        optim=recipe.optim,
        schedule=recipe.schedule,
        trainer=recipe.trainer,
        out=out,
        extra={formats.CARD_KEY: card.plain()},
        start_step=start_step,
        resume_from=out / "last.ckpt" if start_step else None,
        multi_label=recipe.model.multi_label,
        max_unreadable=recipe.data.max_unreadable,
        progress=progress,
        callbacks=callbacks,
    )


def pins_memory(recipe: Recipe) -> bool:
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


def _size(videos: VideoList) -> int:
    return len(videos.entries)
