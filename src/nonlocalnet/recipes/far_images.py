"""The generated images in which one edge decides about the other: a small detector without and with blocks.

Not in the paper: tasks that a local detector cannot solve (`nonlocalnet.data.generated.images` says why), small enough
for two CPU cores. Everything but the blocks is equal. Trained from scratch for a few hundred steps, so the blocks take
part from the first step (`zero_init=False`); blocks that began as the identity had learned nothing by then. A higher
rate, or for the far cue a shorter warm-up, left some seeds at the coin toss; LOG.md has what was tried.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from nonlocalnet.data.generated.images import SIGMAS
from nonlocalnet.engine.config import TrainerConfig
from nonlocalnet.models.detection.names import DetectorName
from nonlocalnet.runs.detection.config import (
    LENGTHS,
    OPTIM,
    DetectionDataConfig,
    DetectionModelConfig,
    DetectionRecipe,
)

Blocks = Literal["none", "control", "head", "nl"]
_ROWS: dict[Blocks, str] = {
    "none": "baseline",
    "control": "residual blocks with as many parameters",
    "head": "non-local block in the head",
    "nl": "non-local blocks",
}


def farcue(blocks: Literal["none", "control", "nl"]) -> DetectionRecipe:
    """A far cue decides the class: a small Mask R-CNN, plain or with a local or non-local block in the backbone."""
    return _recipe(
        "farcue", "maskrcnn_slim_fpn", blocks, num_classes=3, sigmas=None, lr=0.005, steps=400, warmup_steps=100
    )


def farkeypoint(blocks: Blocks) -> DetectionRecipe:
    """A far keypoint decides where another is: a small Keypoint R-CNN, with blocks in the head and the backbone."""
    return _recipe(
        "farkeypoint",
        "keypointrcnn_slim_fpn",
        blocks,
        num_classes=2,
        sigmas=SIGMAS,
        lr=0.004,
        steps=300,
        warmup_steps=25,
    )


def _recipe(
    task: str,
    architecture: DetectorName,
    blocks: Blocks,
    *,
    num_classes: int,
    sigmas: tuple[float, ...] | None,
    lr: float,
    steps: int,
    warmup_steps: int,
) -> DetectionRecipe:
    has_keypoints = sigmas is not None
    return DetectionRecipe(
        name=task if blocks == "none" else f"{task}_{blocks}",
        row=f"generated images, {_ROWS[blocks]}",
        model=DetectionModelConfig(
            architecture=architecture,
            num_classes=num_classes,
            num_keypoints=2 if has_keypoints else 17,
            nonlocal_backbone=blocks in ("nl", "control"),
            nonlocal_head=has_keypoints and blocks != "none",
            control=blocks == "control",
            weights_backbone=None,
            frozen_bn=False,
            trainable_backbone_layers=5,
            box_detections_per_img=20,
            subsample=None,
            norm="batch",
            zero_init=False,
        ),
        data=DetectionDataConfig(min_sizes=(96,), max_size=320, flip=0.0, keypoint_sigmas=sigmas, workers=0),
        optim=replace(OPTIM, lr=lr, batch_size=4, grad_clip=10.0),
        schedule=replace(
            LENGTHS["1x"], steps=steps, milestones=(round(0.8 * steps),), warmup_steps=warmup_steps, warmup_factor=0.04
        ),
        trainer=TrainerConfig(val_every=0, checkpoint_every=100, log_every=10),
    )
