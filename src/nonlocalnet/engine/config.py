"""A run as plain data: five sections and the recipe that holds them.

The defaults are the paper's Kinetics-400 training (Section 4.1 of arXiv 1711.07971v3); what stems from the authors'
released Caffe2 code is marked [C2]. jsonargparse builds the command line from these classes, the `Args` are its help.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from nonlocalnet.models.video.geometry import Depth, geometry_of, minimum_input
from nonlocalnet.models.video.placement import nonlocal_paths

Architecture = Literal[
    "c2d_resnet50",
    "c2d_resnet101",
    "i3d_resnet50",
    "i3d_resnet101",
    "c2d_resnet50_control",
    "c2d_resnet101_control",
]


def require(condition: bool, name: str, value: object, allowed: str) -> None:
    """Raise ValueError, naming the field, what is allowed and what was given, unless the condition holds."""
    if not condition:
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


def _require_finite_in(name: str, value: float, low: float, high: float, *, open_low: bool = False) -> None:
    inside = math.isfinite(value) and (low < value if open_low else low <= value) and value <= high
    bounds = f"a finite number in {'(' if open_low else '['}{low:g}, {high:g}]"
    require(inside, name, value, bounds)


def _require_at_least(name: str, value: int | None, low: int) -> None:
    if value is not None:
        require(value >= low, name, value, f"at least {low}")


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
        crop: Side in pixels of the training crop; the head averages windows of crop // 32 positions (paper: 224).
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

    architecture: Architecture = "c2d_resnet50"
    num_classes: int = 400
    multi_label: bool = False
    nonlocal_blocks: int | list[str] = 0
    clip: Literal["8x8", "32x2", "32x4", "128x1"] = "32x2"
    variant: Literal["release", "paper"] = "release"
    inflate: Literal["3x1x1", "3x3x3"] = "3x1x1"
    width: int = 64
    dropout: float = 0.5
    crop: int = 224
    pairwise: Literal["gaussian", "embedded_gaussian", "dot_product", "concatenation"] = "embedded_gaussian"
    domain: Literal["spacetime", "space", "time"] = "spacetime"
    inner_channels: int | None = None
    scale: float | Literal["rsqrt", "variant"] = "variant"
    subsample: int | tuple[int, int, int] | Literal["variant"] | None = "variant"
    subsample_first: bool | Literal["variant"] = "variant"
    norm: Literal["batch", "variant"] | None = "variant"
    temporal_group_frames: int | Literal["variant"] | None = "variant"
    zero_init: bool = True

    def __post_init__(self) -> None:
        _require_at_least("model.num_classes", self.num_classes, 1)
        _require_at_least("model.width", self.width, 1)
        _require_at_least("model.crop", self.crop, 32)
        require(0 <= self.dropout < 1, "model.dropout", self.dropout, "in [0, 1)")
        _require_at_least("model.inner_channels", self.inner_channels, 1)
        if not isinstance(self.scale, str):
            _require_finite_in("model.scale", self.scale, 0, 1e6, open_low=True)
        if isinstance(self.temporal_group_frames, int):
            _require_at_least("model.temporal_group_frames", self.temporal_group_frames, 1)
        depth: Depth = 101 if "101" in self.architecture else 50
        try:
            nonlocal_paths(self.nonlocal_blocks, depth=depth)
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
            spaced), "wrapped" begins clip j of K at frame int(N / K * j) of N and goes on at the first frame ([C2]).
        test_crops: "three" crops along the longer side ([C2]), the "centre" one, or the "full" frame (paper).
        test_short_side: Short side in pixels when testing (paper: 256).
        test_crop: Side in pixels of the testing crops ([C2]: 256).
        test_pooling: How a video's score comes from those of its views: their "mean" (paper) or "max".
        test_batch_views: Views that go through the network at once when testing; null for as many as suit the device.
            It changes speed and memory only.
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
            _require_at_least(f"data.{name}", getattr(self, name), 1)
        _require_at_least("data.workers", self.workers, 0)
        low = f"at least data.short_side_min = {self.short_side_min}"
        require(self.short_side_max >= self.short_side_min, "data.short_side_max", self.short_side_max, low)
        if self.crop is not None:
            high = f"at most data.short_side_min = {self.short_side_min}"
            require(self.crop <= self.short_side_min, "data.crop", self.crop, high)
        if self.test_crops != "full":
            low = f"at least data.test_crop = {self.test_crop}"
            require(self.test_short_side >= self.test_crop, "data.test_short_side", self.test_short_side, low)
        _require_at_least("data.test_short_side", self.test_short_side, 1)
        _require_finite_in("data.flip", self.flip, 0, 1)
        _require_finite_in("data.max_unreadable", self.max_unreadable, 0, 1)


@dataclass(frozen=True)
class OptimConfig:
    """Stochastic gradient descent and what it moves.

    Args:
        lr: Learning rate, above 0 (paper: 0.01 for batch 64).
        momentum: In [0, 1) (paper: 0.9).
        nesterov: Nesterov's form of momentum ([C2]).
        weight_decay: Of every parameter that is not BatchNorm's (paper: 1e-4).
        bn_weight_decay: Of BatchNorm's scales and shifts ([C2]: 0).
        batch_size: Clips of one step over all processes and micro-batches together (paper: 64). The command line scales
            lr and the schedule along with it (`nonlocalnet.engine.scaling`) unless they are given or --no-rescale is.
        accumulate: Micro-batches into which every process divides its share of a batch; more takes less memory.
        trainable: "all", "blocks_and_head" or "head"; what is left out keeps its BatchNorm statistics too.
        lr_factor_blocks: Factor on the learning rate of the non-local blocks.
        lr_factor_head: Factor on the learning rate of the classifier.
        freeze_bn: Keep every BatchNorm's statistics, scale and shift as they are (128-frame training of the paper).
        grad_clip: Largest norm of the whole gradient; null for no limit (paper).
    """

    lr: float = 0.01
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    bn_weight_decay: float = 0.0
    batch_size: int = 64
    accumulate: int = 1
    trainable: Literal["all", "blocks_and_head", "head"] = "all"
    lr_factor_blocks: float = 1.0
    lr_factor_head: float = 1.0
    freeze_bn: bool = False
    grad_clip: float | None = None

    def __post_init__(self) -> None:
        _require_finite_in("optim.lr", self.lr, 0, 1e6, open_low=True)
        require(0 <= self.momentum < 1, "optim.momentum", self.momentum, "in [0, 1)")
        require(self.momentum > 0 or not self.nesterov, "optim.momentum", self.momentum, "above 0 with optim.nesterov")
        _require_finite_in("optim.weight_decay", self.weight_decay, 0, 1e6)
        _require_finite_in("optim.bn_weight_decay", self.bn_weight_decay, 0, 1e6)
        _require_finite_in("optim.lr_factor_blocks", self.lr_factor_blocks, 0, 1e6)
        _require_finite_in("optim.lr_factor_head", self.lr_factor_head, 0, 1e6)
        _require_at_least("optim.batch_size", self.batch_size, 1)
        _require_at_least("optim.accumulate", self.accumulate, 1)
        if self.grad_clip is not None:
            _require_finite_in("optim.grad_clip", self.grad_clip, 0, 1e6, open_low=True)


@dataclass(frozen=True)
class ScheduleConfig:
    """The length of a run and its learning rate over the steps.

    Args:
        steps: Optimiser steps of the whole run (paper: 400,000).
        milestones: Steps after which the rate is multiplied by gamma (paper: after 150,000 and 300,000).
        gamma: Factor at each milestone, in (0, 1] (paper: 0.1).
        warmup_steps: First steps, over which the rate rises linearly from warmup_factor of its value (paper: 0).
        warmup_factor: Factor at step 0 of the warm-up, in (0, 1].
    """

    steps: int = 400_000
    milestones: tuple[int, ...] = (150_000, 300_000)
    gamma: float = 0.1
    warmup_steps: int = 0
    warmup_factor: float = 0.1

    def __post_init__(self) -> None:
        # jsonargparse and saved cards hand lists over.
        object.__setattr__(self, "milestones", tuple(self.milestones))
        _require_at_least("schedule.steps", self.steps, 1)
        rising = all(a < b for a, b in zip((0, *self.milestones), self.milestones, strict=False))
        require(rising, "schedule.milestones", self.milestones, "steps above 0 in rising order")
        _require_finite_in("schedule.gamma", self.gamma, 0, 1, open_low=True)
        _require_at_least("schedule.warmup_steps", self.warmup_steps, 0)
        _require_finite_in("schedule.warmup_factor", self.warmup_factor, 0, 1, open_low=True)


@dataclass(frozen=True)
class TrainerConfig:
    """Where the run happens and what it writes.

    Args:
        seed: Of the initial weights, the order of the videos, every augmentation and dropout; at least 0.
        precision: Arithmetic of the network; the "mixed" forms keep float32 weights.
        channels_last: Keep weights and features in channels-last memory order; changes speed and rounding only.
        compile: Train with `torch.compile`; changes speed, rounding, and which features dropout leaves out.
        recompute: Keep only the input of every residual and non-local block and compute it again in the backward pass
            (activation checkpointing): less memory, about a third more time, the same numbers.
        device: "auto" takes a GPU where there is one.
        devices: Processes per machine, one device each.
        num_nodes: Machines, started by torchrun or SLURM.
        strategy: How several processes share the work; "auto" is one process alone or DDP.
        val_every: Steps between two validations; the last step is always validated, 0 for that one only.
        checkpoint_every: Steps between two checkpoints; one is also written after every validation.
        log_every: Steps between two rows of the logs.
        limit_val_videos: Validate on this many videos, spread evenly over the list; null for all.
    """

    seed: int = 0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    channels_last: bool = False
    compile: bool = False
    recompute: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    val_every: int = 10_000
    checkpoint_every: int = 1_000
    log_every: int = 20
    limit_val_videos: int | None = None

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**63, "trainer.seed", self.seed, "in [0, 2**63)")
        for name in ("devices", "num_nodes", "checkpoint_every", "log_every", "limit_val_videos"):
            _require_at_least(f"trainer.{name}", getattr(self, name), 1)
        _require_at_least("trainer.val_every", self.val_every, 0)


@dataclass(frozen=True)
class Recipe:
    """One complete run: everything that decides its result, and what was published for it.

    Args:
        name: The recipe's name on the command line.
        tables: Tables of the paper it stands in, such as ["2a", "2c"]; empty for those not in the paper.
        row: The row's text as the paper prints it, or what the recipe is for.
        published: Published results in percent, such as {"top1": 71.8, "top5": 89.7} or {"map": 35.5}; empty where
            there are none.
        source: Where the published numbers stand.
        starts_from: Weights to give as --init: "ImageNet" for a 2-D ResNet of this depth, or the recipe whose network
            it is; empty for none.
        model: The network.
        data: The videos.
        optim: The optimiser.
        schedule: The length and the learning rate.
        trainer: The device, the seed and the logs.
    """

    name: str
    tables: list[str] = field(default_factory=list)
    row: str = ""
    published: dict[str, float] = field(default_factory=dict)
    source: str = ""
    starts_from: str = ""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

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


def require_equal_shares(recipe: Recipe) -> None:
    """Refuse to train where a batch cannot be divided equally; a test on as many devices has no such limit.

    Raises:
        ValueError: If `optim.batch_size` is no multiple of processes times micro-batches.
    """
    shares = recipe.trainer.devices * recipe.trainer.num_nodes * recipe.optim.accumulate
    divisible = f"a multiple of trainer.devices x trainer.num_nodes x optim.accumulate = {shares}"
    require(recipe.optim.batch_size % shares == 0, "optim.batch_size", recipe.optim.batch_size, divisible)
