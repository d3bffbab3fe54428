"""A detection run as plain data: its detector, its images, and the recipe that holds them.

The paper trains its detectors as Mask R-CNN does (He et al., ICCV 2017, with FPN; Section 6 names [17]) and gives no
more. So the defaults are Mask R-CNN's: batch 16, learning rate 0.02, weight decay 1e-4, momentum 0.9, 90k steps with
decays at 60k and 80k ("1x"), images of short side 800. What stems from its authors' code, Detectron, is marked [D].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from nonlocalnet.engine.config import (
    AS_PUBLISHED,
    OptimConfig,
    Recipe,
    ScheduleConfig,
    require,
    require_equal_shares,
)
from nonlocalnet.engine.scaling import scale_to_batch_size
from nonlocalnet.functional import Pairwise
from nonlocalnet.models.detection.card import DetectionCard
from nonlocalnet.models.detection.names import DetectorName, has_keypoints

KIND = DetectionCard.kind
METRICS = {"box_ap": "box AP", "mask_ap": "mask AP", "keypoint_ap": "keypoint AP"}
"""Keys of `DetectionRecipe.published`, as columns are headed."""


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
        bn_eps: What the fixed BatchNorms add to a variance: 1e-5, or 0 for torchvision's COCO_V1 weights read by
            `--init`.
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
    pairwise: Pairwise = "embedded_gaussian"
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
        return has_keypoints(self.architecture)


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
        flip_pairs: Pairs of names of keypoints that change places in the mirror, such as [["eye1", "eye2"]]; null to go
            by the names: left and right, or l and r as a word.
        keypoint_sigmas: One for every keypoint, for the object keypoint similarity; null for COCO's 17.
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
    flip_pairs: tuple[tuple[str, str], ...] | None = None
    keypoint_sigmas: tuple[float, ...] | None = None
    evaluator: Literal["pycocotools", "faster-coco-eval"] = "pycocotools"
    workers: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "min_sizes", tuple(self.min_sizes))
        if self.keypoint_sigmas is not None:
            object.__setattr__(self, "keypoint_sigmas", tuple(self.keypoint_sigmas))
            positive = all(math.isfinite(s) and s > 0 for s in self.keypoint_sigmas)
            require(positive, "data.keypoint_sigmas", self.keypoint_sigmas, "positive numbers")
        if self.flip_pairs is not None:
            object.__setattr__(self, "flip_pairs", tuple(tuple(pair) for pair in self.flip_pairs))
            require(all(len(p) == 2 for p in self.flip_pairs), "data.flip_pairs", self.flip_pairs, "pairs of names")
        sizes = [*self.min_sizes, *([] if self.test_min_size is None else [self.test_min_size])]
        fits = bool(self.min_sizes) and all(1 <= size <= self.max_size for size in sizes)
        require(fits, "data.min_sizes and test_min_size", sizes, f"from 1 to data.max_size = {self.max_size}")
        require(0 <= self.flip <= 1, "data.flip", self.flip, "in [0, 1]")
        require(self.limit is None or self.limit >= 1, "data.limit", self.limit, "at least 1")
        require(self.workers >= 0, "data.workers", self.workers, "at least 0")


# Plain momentum [D].
OPTIM = OptimConfig(lr=0.02, nesterov=False, batch_size=16)
"""The optimiser's defaults."""

_1X = ScheduleConfig(steps=90_000, milestones=(60_000, 80_000), warmup_steps=500, warmup_factor=1 / 3)
LENGTHS = {"1x": _1X, "2x": replace(_1X, steps=180_000, milestones=(120_000, 160_000))}
"""The lengths of training that Mask R-CNN's tables have, for a batch of 16; the warm-up is [D]'s."""

# What a detector has no use for, and the value that says so.
_UNUSED: dict[str, dict[str, object]] = {
    "optim": {"trainable": "all", "lr_factor_head": 1.0, "freeze_bn": False},
    "trainer": {"channels_last": False, "compile": False, "compile_mode": "default", "recompute": False},
}


@dataclass(frozen=True)
class DetectionRecipe(Recipe):
    """One complete detection run; the other fields are those of every `Recipe`.

    Args:
        optim: The optimiser; what is trained is said by `model.frozen_bn` and `model.trainable_backbone_layers`.
        schedule: The length and the learning rate.
        model: The detector.
        data: The images.
    """

    optim: OptimConfig = OPTIM
    schedule: ScheduleConfig = LENGTHS["1x"]
    model: DetectionModelConfig = field(default_factory=DetectionModelConfig)
    data: DetectionDataConfig = field(default_factory=DetectionDataConfig)

    def __post_init__(self) -> None:
        require_equal_shares(self)
        if self.trainer.channels_last == "auto":
            object.__setattr__(self, "trainer", replace(self.trainer, channels_last=False))
        for section, values in _UNUSED.items():
            for name, unused in values.items():
                value = getattr(getattr(self, section), name)
                require(value == unused, f"{section}.{name}", value, f"{unused!r} for a detector")
        require(self.trainer.strategy != "fsdp", "trainer.strategy", "fsdp", "'auto' or 'ddp' for a detector")


def recipe_from_plain(saved: Mapping[str, Any]) -> DetectionRecipe:
    """The recipe that a checkpoint or a summary.json holds as plain data.

    Older ones left the linear rule to be applied by their reader: a learning rate, steps or milestones of null, and a
    schedule's `length`; and they call `trainer.limit_val` limit_val_images.
    """
    optim, schedule, trainer = dict(saved["optim"]), dict(saved["schedule"]), dict(saved["trainer"])
    if "length" in schedule:
        base = DetectionRecipe("older", schedule=LENGTHS[schedule.pop("length")])
        ruled = scale_to_batch_size(base, optim["batch_size"])
        optim = {**vars(ruled.optim), **_given(optim)}
        schedule = {**vars(ruled.schedule), **_given(schedule)}
        trainer["limit_val"] = trainer.pop("limit_val_images")
    sections = {
        "model": DetectionModelConfig(**saved["model"]),
        "data": DetectionDataConfig(**saved["data"]),
        "optim": OptimConfig(**optim),
        "schedule": ScheduleConfig(**schedule),
        # What is not said was float32: older runs knew nothing else.
        "trainer": replace(AS_PUBLISHED, **trainer),
    }
    return DetectionRecipe(**{**saved, **sections})


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
