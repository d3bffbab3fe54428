"""A run on videos as plain data: its network, its videos, and the recipe that holds them.

The defaults are the paper's Kinetics-400 training (Section 4.1 of arXiv 1711.07971v3); what stems from the authors'
released Caffe2 code is marked [C2]. jsonargparse builds the command line from these classes, the `Args` are its help.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from nonlocalnet.engine.config import (
    AS_PUBLISHED,
    OptimConfig,
    Recipe,
    ScheduleConfig,
    require,
    require_at_least,
    require_finite_in,
)
from nonlocalnet.functional import Pairwise
from nonlocalnet.models.video.architectures import ARCHITECTURES, ArchitectureName
from nonlocalnet.models.video.card import VideoCard
from nonlocalnet.models.video.geometry import geometry_of, minimum_input
from nonlocalnet.models.video.placement import nonlocal_paths

KIND = VideoCard.kind
METRICS = {"top1": "top-1", "top5": "top-5", "map": "mAP", "map_test": "mAP test"}
"""Keys of `VideoRecipe.published` and of summary.json, as columns are headed."""


@dataclass(frozen=True)
class ModelConfig:
    """The network: an architecture, its non-local blocks and its input.

    Args:
        architecture: Trunk (Table 1 of the paper): C2D has 1x1x1 and 1x3x3 kernels only, I3D is the inflated form; the
            controls have standard residual blocks in place of the non-local ones (Section 5.1).
        num_classes: Classes of the classifier, at least 1 (Kinetics-400: 400).
        multi_label: Whether a video may have several classes, as in Charades: a sigmoid per class, binary cross-entropy
            and mAP in place of softmax, cross-entropy and top-1.
        nonlocal_blocks: 0, 1, 5 or 10 blocks at the paper's places, or a list such as ["res3.1", "res4.4"].
        clip: Frames x stride the network's strides are made for: 32x2 and 128x1 (paper), 8x8 and 32x4 ([C2]).
        variant: "release" for the geometry of the released models ([C2]), "paper" for the paper's text.
        inflate: Which kernel of an I3D block is inflated (Table 2e).
        width: Channels of conv1 (paper: 64); small widths are for tests and demonstrations.
        dropout: Probability of dropping a pooled feature before the classifier, in [0, 1) (paper: 0.5).
        crop: Side in pixels of the training crop; the head averages windows as large as such a crop's last feature
            map (paper: 224).
        pairwise: Pairwise function f of equation 1.
        domain: Positions summed for each output position (Table 2d).
        inner_channels: Channels of theta, phi and g; null for half the block's channels (paper).
        scale: Factor on the logits of the Gaussian forms, "rsqrt" for inner_channels ** -0.5, or what variant says.
        subsample: Max-pooling of the side summed over, [1, 2, 2] or a factor in space; null for none.
        subsample_first: Pool before phi and g ([C2]) rather than after (paper), or what variant says.
        norm: "batch" for BatchNorm after the output convolution, null for none, or what variant says.
        temporal_group_frames: Frames of each group within which every block works; null for no groups.
        zero_init: Start every block as the identity.
    """

    architecture: ArchitectureName = "c2d_resnet50"
    num_classes: int = 400
    multi_label: bool = False
    nonlocal_blocks: int | list[str] = 0
    clip: Literal["8x8", "32x2", "32x4", "128x1"] = "32x2"
    variant: Literal["release", "paper"] = "release"
    inflate: Literal["3x1x1", "3x3x3"] = "3x1x1"
    width: int = 64
    dropout: float = 0.5
    crop: int = 224
    pairwise: Pairwise = "embedded_gaussian"
    domain: Literal["spacetime", "space", "time"] = "spacetime"
    inner_channels: int | None = None
    scale: float | Literal["rsqrt", "variant"] = "variant"
    subsample: int | tuple[int, int, int] | Literal["variant"] | None = "variant"
    subsample_first: bool | Literal["variant"] = "variant"
    norm: Literal["batch", "variant"] | None = "variant"
    temporal_group_frames: int | Literal["variant"] | None = "variant"
    zero_init: bool = True

    def __post_init__(self) -> None:
        require_at_least("model.num_classes", self.num_classes, 1)
        require_at_least("model.width", self.width, 1)
        require_at_least("model.crop", self.crop, 32)
        require(0 <= self.dropout < 1, "model.dropout", self.dropout, "in [0, 1)")
        require_at_least("model.inner_channels", self.inner_channels, 1)
        if not isinstance(self.scale, str):
            require_finite_in("model.scale", self.scale, 0, 1e6, open_low=True)
        if isinstance(self.temporal_group_frames, int):
            require_at_least("model.temporal_group_frames", self.temporal_group_frames, 1)
        try:
            nonlocal_paths(self.nonlocal_blocks, depth=ARCHITECTURES[self.architecture].depth)
            geometry_of(variant=self.variant, clip=self.clip)
        except ValueError as error:
            raise ValueError(f"model.{error}") from None  # the messages begin with the argument's name


@dataclass(frozen=True)
class DataConfig:
    """The videos and how clips are cut from them.

    Args:
        root: Folder of the videos; the names below and the paths inside lists are relative to it.
        train: Training list: a folder of class folders, a text list "path label", or a csv with header path,label.
        val: List for the validation during training.
        test: List that is tested; null for the validation list.
        limit: Use this many videos of each list, spread evenly over it, for a quick look; null for all.
        clip_frames: Frames of a clip; null for those of model.clip.
        frame_stride: Distance in frames between two frames of a clip; null for that of model.clip.
        short_side_min: Smallest training short side in pixels (paper: 256).
        short_side_max: Largest training short side in pixels; the side is uniform between the two (paper: 320).
        crop: Side in pixels of the random training crop; null for model.crop (paper: 224).
        flip: Probability of mirroring a training clip, in [0, 1] (paper: 0.5).
        workers: Loader processes per training process; 0 for none. Results do not depend on it.
        max_unreadable: Share of training clips, in [0, 1], that may stand in for videos that cannot be read; training
            stops when it is clearly above.
        test_clips: Clips of each tested video (paper: 10).
        test_positions: Where they begin: "even" spreads them from the first frame to the last whole clip (paper: evenly
            spaced), "wrapped" begins clip j of K at frame int(N / K * j) of N and goes on at the first frame ([C2]),
            and resizes and cuts the views as [C2] does.
        test_crops: "three" crops along the longer side ([C2]), the "centre" one, or the "full" frame (paper).
        test_short_side: Short side in pixels when testing (paper: 256).
        test_crop: Side in pixels of the testing crops ([C2]: 256).
        test_pooling: How a video's score comes from those of its views: their "mean" (paper) or "max".
        test_batch_views: Views that go through the network at once when testing; null for as many as suit the device.
            It changes speed and memory only.
        as_release: Cut training and validation clips as [C2] does where the paper says nothing: bilinear resizing
            without antialiasing, starts that leave out the last places, and validation on a random clip and crop.
    """

    root: str | None = None
    train: str = "train"
    val: str = "val"
    test: str | None = None
    limit: int | None = None
    clip_frames: int | None = None
    frame_stride: int | None = None
    short_side_min: int = 256
    short_side_max: int = 320
    crop: int | None = None
    flip: float = 0.5
    workers: int = 2
    max_unreadable: float = 0.1
    test_clips: int = 10
    test_positions: Literal["even", "wrapped"] = "even"
    test_crops: Literal["three", "centre", "full"] = "three"
    test_short_side: int = 256
    test_crop: int = 256
    test_pooling: Literal["mean", "max"] = "mean"
    test_batch_views: int | None = None
    as_release: bool = False

    def __post_init__(self) -> None:
        sizes = (
            "limit",
            "clip_frames",
            "frame_stride",
            "crop",
            "short_side_min",
            "test_clips",
            "test_crop",
            "test_batch_views",
        )
        for name in sizes:
            require_at_least(f"data.{name}", getattr(self, name), 1)
        require_at_least("data.workers", self.workers, 0)
        low = f"at least data.short_side_min = {self.short_side_min}"
        require(self.short_side_max >= self.short_side_min, "data.short_side_max", self.short_side_max, low)
        if self.crop is not None:
            high = f"at most data.short_side_min = {self.short_side_min}"
            require(self.crop <= self.short_side_min, "data.crop", self.crop, high)
        if self.test_crops != "full":
            low = f"at least data.test_crop = {self.test_crop}"
            require(self.test_short_side >= self.test_crop, "data.test_short_side", self.test_short_side, low)
        require_at_least("data.test_short_side", self.test_short_side, 1)
        require_finite_in("data.flip", self.flip, 0, 1)
        require_finite_in("data.max_unreadable", self.max_unreadable, 0, 1)


@dataclass(frozen=True)
class VideoRecipe(Recipe):
    """One complete run on videos; the other fields are those of every `Recipe`.

    Args:
        starts_from: Weights to give as --init: "ImageNet" for a 2-D ResNet of this depth, or the recipe whose network
            it is; empty for none.
        fresh_classifier: Leave the classifier of those weights out ([C2] deletes it before it trains long clips).
        model: The network.
        data: The videos.
    """

    starts_from: str = ""
    fresh_classifier: bool = False
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)

    def __post_init__(self) -> None:
        crop = self.data.crop or self.model.crop
        low = f"at least the crop of {crop}"
        require(self.data.short_side_min >= crop, "data.short_side_min", self.data.short_side_min, low)
        _check_input_size(self.model, self.data)


def _check_input_size(model: ModelConfig, data: DataConfig) -> None:
    """Refuse clips that would leave a layer of the network without a position."""
    frames, *sides = minimum_input(geometry_of(variant=model.variant, clip=model.clip))
    network = f"for the strides of model.variant={model.variant!r}, model.clip={model.clip!r}"
    tested = "test_short_side" if data.test_crops == "full" else "test_crop"
    for name, least in (("clip_frames", frames), ("crop", max(sides)), (tested, max(sides))):
        value = getattr(data, name)
        require(value is None or value >= least, f"data.{name}", value, f"at least {least} {network}")


def recipe_from_plain(saved: Mapping[str, Any]) -> VideoRecipe:
    """The recipe that a checkpoint or a summary.json holds as plain data.

    Older ones call `trainer.limit_val` limit_val_videos.
    """
    trainer = dict(saved["trainer"])
    if "limit_val_videos" in trainer:
        trainer["limit_val"] = trainer.pop("limit_val_videos")
    sections = {
        "model": ModelConfig(**saved["model"]),
        "data": DataConfig(**saved["data"]),
        "optim": OptimConfig(**saved["optim"]),
        "schedule": ScheduleConfig(**saved["schedule"]),
        # What is not said was float32: older runs knew nothing else.
        "trainer": replace(AS_PUBLISHED, **trainer),
    }
    return VideoRecipe(**{**saved, **sections})
