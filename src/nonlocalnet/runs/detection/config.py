"""A detection run as plain data: the same five sections as a run on videos, and the recipe that holds them.

The paper trains its detectors as Mask R-CNN does (He et al., ICCV 2017, with FPN; Section 6 names [17]) and gives no
more. So the defaults are Mask R-CNN's: batch 16, learning rate 0.02, weight decay 1e-4, momentum 0.9, 90k steps with
decays at 60k and 80k ("1x"), images of short side 800. What stems from its authors' code, Detectron, is marked [D].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from nonlocalnet.engine.config import OptimConfig, ScheduleConfig, TrainerConfig, require

DetectorName = Literal[
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet101_fpn",
    "maskrcnn_resnext152_32x8d_fpn",
    "maskrcnn_slim_fpn",
    "keypointrcnn_resnet50_fpn",
    "keypointrcnn_resnet101_fpn",
    "keypointrcnn_slim_fpn",
]
_BATCH, _LR = 16, 0.02
_STEPS: dict[str, tuple[int, tuple[int, int]]] = {"1x": (90_000, (60_000, 80_000)), "2x": (180_000, (120_000, 160_000))}


@dataclass(frozen=True)
class DetectionModelConfig:
    """The detector, its non-local blocks and the weights it starts from.

    Args:
        architecture: A factory of `nonlocalnet.models.detection`: Mask R-CNN (boxes, masks) or Keypoint R-CNN.
        num_classes: Classes with the background; 91 keeps COCO's original category ids.
        num_keypoints: Keypoints of an object; Keypoint R-CNN only.
        nonlocal_backbone: A block right before the last residual block of res4 (Table 5).
        nonlocal_head: Blocks after every second convolution of the keypoint head (Table 6).
        control: Local residual blocks with as many parameters in place of the non-local ones.
        weights: torchvision's COCO weights to start from, such as "COCO_V1"; null for none.
        weights_backbone: torchvision's ImageNet weights of the trunk; null for none. `--init` takes their place.
        frozen_bn: BatchNorm of the trunk fixed at its weights' statistics [D].
        bn_eps: Of the fixed BatchNorms: 1e-5, or 0 for torchvision's COCO_V1 weights read by `--init`.
        trainable_backbone_layers: How many of the trunk's layers are trained, from the top; 3 is all above res2 [D].
        box_score_thresh: Lowest score of a detection, in [0, 1].
        box_detections_per_img: Most detections of an image.
        inner_channels: Channels of theta, phi and g; null for half the block's channels.
        pairwise: Pairwise function f of equation 1.
        scale: Factor on the logits of the Gaussian forms, or "rsqrt"; null for the default of `add_nonlocal`.
        subsample: Max-pooling of the side summed over; null for none.
        subsample_first: Pool before phi and g ([C2]) rather than after.
        norm: "batch" for a trainable BatchNorm after W_z, null for none.
        zero_init: Start every block as the identity.
    """

    architecture: DetectorName = "maskrcnn_resnet50_fpn"
    num_classes: int = 91
    num_keypoints: int = 17
    nonlocal_backbone: bool = False
    nonlocal_head: bool = False
    control: bool = False
    weights: str | None = None
    weights_backbone: str | None = "IMAGENET1K_V1"
    frozen_bn: bool = True
    bn_eps: float = 1e-5
    trainable_backbone_layers: int = 3
    box_score_thresh: float = 0.05
    box_detections_per_img: int = 100
    inner_channels: int | None = None
    pairwise: Literal["gaussian", "embedded_gaussian", "dot_product", "concatenation"] = "embedded_gaussian"
    scale: float | Literal["rsqrt"] | None = None
    subsample: int | tuple[int, int] | None = 2
    subsample_first: bool = True
    norm: Literal["batch"] | None = None
    zero_init: bool = True

    def __post_init__(self) -> None:
        require(self.num_classes >= 2, "model.num_classes", self.num_classes, "at least 2, the background counted")
        require(self.num_keypoints >= 1, "model.num_keypoints", self.num_keypoints, "at least 1")
        require(0 <= self.bn_eps < 1, "model.bn_eps", self.bn_eps, "in [0, 1)")
        layers = self.trainable_backbone_layers
        require(0 <= layers <= 5, "model.trainable_backbone_layers", layers, "in [0, 5]")
        require(0 <= self.box_score_thresh <= 1, "model.box_score_thresh", self.box_score_thresh, "in [0, 1]")
        per_image = self.box_detections_per_img
        require(per_image >= 1, "model.box_detections_per_img", per_image, "at least 1")
        if self.nonlocal_head:
            require(self.has_keypoints, "model.nonlocal_head", True, "false for a detector without keypoints")
        if self.control:
            blocks = self.nonlocal_backbone or self.nonlocal_head
            require(blocks, "model.control", True, "false without nonlocal_backbone or nonlocal_head to replace")

    @property
    def has_keypoints(self) -> bool:
        """Whether the detector gives keypoints, and else masks."""
        return self.architecture.startswith("keypointrcnn")


@dataclass(frozen=True)
class DetectionDataConfig:
    """Images and annotations in COCO's format.

    Args:
        root: Folder of it all; the names below are relative to it.
        train_images: Folder of the images to train on.
        train_annotations: Their file; null for instances_train2017.json, or person_keypoints_..., in annotations.
        val_images: Folder of the images to validate and test on.
        val_annotations: Their file; null for the one of val2017.
        limit: Use this many images of each file, spread evenly over it, for a quick look; null for all.
        min_sizes: Short sides in pixels, of which training draws one for every image.
        max_size: Largest long side in pixels.
        test_min_size: Short side in pixels of the evaluation; null for the last of min_sizes.
        flip: Probability of mirroring a training image, in [0, 1].
        keypoint_sigmas: Of every keypoint, for the object keypoint similarity; null for COCO's 17.
        evaluator: pycocotools, or faster-coco-eval (extra fast-eval): the same figures, faster.
        workers: Loader processes per training process; 0 for none. Results do not depend on it.
    """

    root: str | None = None
    train_images: str = "train2017"
    train_annotations: str | None = None
    val_images: str = "val2017"
    val_annotations: str | None = None
    limit: int | None = None
    min_sizes: tuple[int, ...] = (640, 672, 704, 736, 768, 800)
    max_size: int = 1333
    test_min_size: int | None = None
    flip: float = 0.5
    keypoint_sigmas: tuple[float, ...] | None = None
    evaluator: Literal["pycocotools", "faster-coco-eval"] = "pycocotools"
    workers: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "min_sizes", tuple(self.min_sizes))
        if self.keypoint_sigmas is not None:
            object.__setattr__(self, "keypoint_sigmas", tuple(self.keypoint_sigmas))
            positive = all(math.isfinite(s) and s > 0 for s in self.keypoint_sigmas)
            require(positive, "data.keypoint_sigmas", self.keypoint_sigmas, "positive numbers")
        sizes = [*self.min_sizes, *([] if self.test_min_size is None else [self.test_min_size])]
        fits = bool(self.min_sizes) and all(1 <= size <= self.max_size for size in sizes)
        require(fits, "data.min_sizes and test_min_size", sizes, f"from 1 to data.max_size = {self.max_size}")
        require(0 <= self.flip <= 1, "data.flip", self.flip, "in [0, 1]")
        require(self.limit is None or self.limit >= 1, "data.limit", self.limit, "at least 1")
        require(self.workers >= 0, "data.workers", self.workers, "at least 0")


@dataclass(frozen=True)
class DetectionOptimConfig:
    """Stochastic gradient descent with plain momentum [D].

    Args:
        lr: Learning rate; null for the linear rule, 0.02 x batch_size / 16.
        momentum: In [0, 1).
        weight_decay: Of every parameter that is not BatchNorm's.
        batch_size: Images of one step over all processes and micro-batches together.
        accumulate: Micro-batches into which every process divides its share of a batch; more takes less memory.
        lr_factor_blocks: Factor on the learning rate of the non-local blocks, or of the control's.
        grad_clip: Largest norm of the whole gradient; null for no limit.
    """

    lr: float | None = None
    momentum: float = 0.9
    weight_decay: float = 1e-4
    batch_size: int = 16
    accumulate: int = 1
    lr_factor_blocks: float = 1.0
    grad_clip: float | None = None

    def __post_init__(self) -> None:
        self.resolved()

    def resolved(self) -> OptimConfig:
        """The settings that the engine takes."""
        return OptimConfig(
            lr=_LR * self.batch_size / _BATCH if self.lr is None else self.lr,
            momentum=self.momentum,
            nesterov=False,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            accumulate=self.accumulate,
            lr_factor_blocks=self.lr_factor_blocks,
            grad_clip=self.grad_clip,
        )


@dataclass(frozen=True)
class DetectionScheduleConfig:
    """The length of a run and its learning rate over the steps.

    Args:
        length: "1x" for 90k steps of 16 images with decays at 60k and 80k, "2x" for twice as many. With another batch
            size the steps are as many images (the linear rule).
        steps: Optimiser steps of the whole run; null for those of `length`.
        milestones: Steps after which the rate is multiplied by gamma; null for those of `length`.
        gamma: Factor at each milestone, in (0, 1].
        warmup_steps: First steps, over which the rate rises linearly [D].
        warmup_factor: Factor at step 0 of the warm-up, in (0, 1] [D].
    """

    length: Literal["1x", "2x"] = "1x"
    steps: int | None = None
    milestones: tuple[int, ...] | None = None
    gamma: float = 0.1
    warmup_steps: int = 500
    warmup_factor: float = 1 / 3

    def __post_init__(self) -> None:
        if self.milestones is not None:
            object.__setattr__(self, "milestones", tuple(self.milestones))
        self.resolved(batch_size=_BATCH)

    def resolved(self, *, batch_size: int) -> ScheduleConfig:
        """The settings that the engine takes.

        >>> DetectionScheduleConfig(length="2x").resolved(batch_size=8).steps
        360000
        """
        steps, milestones = _STEPS[self.length]
        as_many_images = _BATCH / batch_size
        scaled = tuple(round(step * as_many_images) for step in milestones)
        return ScheduleConfig(
            steps=round(steps * as_many_images) if self.steps is None else self.steps,
            milestones=scaled if self.milestones is None else self.milestones,
            gamma=self.gamma,
            warmup_steps=self.warmup_steps,
            warmup_factor=self.warmup_factor,
        )


@dataclass(frozen=True)
class DetectionTrainerConfig:
    """Where the run happens and what it writes.

    Args:
        seed: Of the initial weights, the order of the images, every augmentation and sampling; at least 0.
        precision: Arithmetic of the detector; the "mixed" forms keep float32 weights.
        device: "auto" takes a GPU where there is one.
        devices: Processes per machine, one device each.
        num_nodes: Machines, started by torchrun or SLURM.
        strategy: How several processes share the work; "auto" is one process alone or DDP.
        val_every: Steps between two validations; the last step is always validated, 0 for that one only.
        checkpoint_every: Steps between two checkpoints; one is also written after every validation.
        log_every: Steps between two rows of the logs.
        limit_val_images: Validate on this many images, spread evenly over the file; null for all.
    """

    seed: int = 0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: Literal["auto", "ddp"] = "auto"
    val_every: int = 10_000
    checkpoint_every: int = 1_000
    log_every: int = 20
    limit_val_images: int | None = None

    def __post_init__(self) -> None:
        self.resolved()
        limit = self.limit_val_images
        require(limit is None or limit >= 1, "trainer.limit_val_images", limit, "at least 1")

    def resolved(self) -> TrainerConfig:
        """The settings that the engine takes."""
        return TrainerConfig(
            seed=self.seed,
            precision=self.precision,
            device=self.device,
            devices=self.devices,
            num_nodes=self.num_nodes,
            strategy=self.strategy,
            val_every=self.val_every,
            checkpoint_every=self.checkpoint_every,
            log_every=self.log_every,
        )


@dataclass(frozen=True)
class DetectionRecipe:
    """One complete detection run; the fields are those of `nonlocalnet.engine.config.Recipe`.

    Args:
        name: The recipe's name on the command line.
        tables: Tables of the paper it stands in.
        row: The row's text as the paper prints it, or what the recipe is for.
        published: Published results in percent, such as {"box_ap": 39.0, "mask_ap": 35.5}; empty where there are none.
        source: Where the published numbers stand.
        model: The detector.
        data: The images.
        optim: The optimiser.
        schedule: The length and the learning rate.
        trainer: The device, the seed and the logs.
    """

    name: str
    tables: list[str] = field(default_factory=list)
    row: str = ""
    published: dict[str, float] = field(default_factory=dict)
    source: str = ""
    model: DetectionModelConfig = field(default_factory=DetectionModelConfig)
    data: DetectionDataConfig = field(default_factory=DetectionDataConfig)
    optim: DetectionOptimConfig = field(default_factory=DetectionOptimConfig)
    schedule: DetectionScheduleConfig = field(default_factory=DetectionScheduleConfig)
    trainer: DetectionTrainerConfig = field(default_factory=DetectionTrainerConfig)

    def __post_init__(self) -> None:
        shares = self.trainer.devices * self.trainer.num_nodes * self.optim.accumulate
        divisible = f"a multiple of trainer.devices x trainer.num_nodes x optim.accumulate = {shares}"
        require(self.optim.batch_size % shares == 0, "optim.batch_size", self.optim.batch_size, divisible)
